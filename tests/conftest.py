"""Shared fixtures: where the reference material lies."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get('MMPOSE_LITE_SHARED', ROOT.parent / 'shared'))


@pytest.fixture(scope='session')
def shared():
    """Folder of reference outputs, real images and real weights, or a skip."""
    if not SHARED.is_dir():
        pytest.skip(
            f'reference material not found at {SHARED}; name its folder in the '
            'environment variable MMPOSE_LITE_SHARED'
        )
    return SHARED
