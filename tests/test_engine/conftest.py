"""Runners that start at once."""

import pytest
from mmengine.runner import Runner


@pytest.fixture
def quick(monkeypatch):
    """Leave the environment report out, which asks compilers for their versions."""
    monkeypatch.setattr(Runner, '_log_env', lambda self, env_cfg: None)
