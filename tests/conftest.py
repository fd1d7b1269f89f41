"""Shared fixtures: reference material, the rows of every table, golden files."""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path

import pytest
import torch

import mmpose_lite  # noqa: F401  (first: it makes MMPose importable)

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get('MMPOSE_LITE_SHARED', ROOT.parent / 'shared'))
# The campaign's options and its table; here, because initial options are read here.
pytest_plugins = ('reliability.frame', 'deploy_fixtures')


def pytest_addoption(parser):
    parser.addoption(
        '--update-goldens',
        action='store_true',
        help='rewrite tests/goldens from the present outputs instead of comparing',
    )


def pytest_collection_modifyitems(items):
    """Long files come first in both halves, which two workers begin with."""
    minutes = Counter()
    for item in items:
        if marker := item.get_closest_marker('slow'):
            minutes[item.path] += marker.kwargs.get('minutes', 0.2)
    # In one order in every process, which a set would not have.
    paths = dict.fromkeys(item.path for item in items)
    files = sorted(paths, key=lambda path: -minutes[path])
    place = {path: i for i, path in enumerate((*files[::2], *files[1::2]))}
    items.sort(key=lambda item: place[item.path])


@pytest.fixture(scope='session', autouse=True)
def _one_thread():
    """Many small operators run fastest, and repeatably, on one thread."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _gradients_stay_on():
    """What a test switched off would make others fail, far from the cause."""
    yield
    left_off = not torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    assert not left_off, 'the test left gradients switched off'


@pytest.fixture(scope='session')
def shared():
    """Folder of reference outputs, real images and real weights, or a skip."""
    if not SHARED.is_dir():
        pytest.skip(
            f'reference material not found at {SHARED}; name its folder in the '
            'environment variable MMPOSE_LITE_SHARED'
        )
    return SHARED


@pytest.fixture(scope='session')
def reference_fill(shared):
    """Module with the deterministic weights and inputs of the reference outputs."""
    spec = importlib.util.spec_from_file_location(
        'reference_fill', shared / 'reference' / 'fill.py'
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
