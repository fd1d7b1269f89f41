"""The environment report names everything, and also what is missing or broken."""

import os
import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from mmpose_lite import __version__
from mmpose_lite.cli import env


def lines_of(report):
    """Report → name of each line → what it says (the last of equal names wins)."""
    rows = [line.strip() for line in report.splitlines()]
    return {row[:16].strip(): row[16:].strip() for row in rows}


def run_report(tmp_path, first_on_path=''):
    """``mmpose-lite env`` in a fresh process.

    Returns:
        The lines of its output, after checking that it ended well and quietly.
    """
    search = os.pathsep.join(filter(None, (str(first_on_path), str(ROOT))))
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'mmpose_lite', 'env'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': search},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert 'Traceback' not in done.stderr
    assert done.returncode == 0, done.stderr
    return lines_of(done.stdout)


def test_report_of_this_environment():
    lines = lines_of(env.report())
    assert lines['version'].startswith(f'{__version__} in ')
    assert str(ROOT / 'configs') in lines['configs']
    assert 'XHRNet' in lines['models']
    assert lines['torch'].startswith(torch.__version__)
    build = 'CPU build' if torch.version.cuda is None else 'CUDA'
    assert build in lines['torch']
    for package in (
        'torchvision',
        'mmcv',
        'mmengine',
        'mmdet',
        'mmpose',
        'numpy',
        'cv2',
    ):
        assert lines[package][0].isdigit(), lines[package]
    assert lines['mmcv ops'].startswith(('compiled with', 'none compiled'))
    for patch in ('checkpoints', 'process group', 'operators'):
        assert lines[patch].startswith(('patched', 'not needed', 'left alone'))


def test_engines_are_listed_with_version_or_as_missing():
    lines = lines_of(env.report())
    for engine in env._ENGINES:
        answer = lines[engine[:16]]
        assert answer == 'not installed' or answer[0].isdigit() or 'BROKEN' in answer


def test_runs_as_a_module(tmp_path):
    lines = run_report(tmp_path)
    assert lines['python'].endswith(sys.executable)
    assert 'BROKEN' not in ' '.join(lines.values())


@pytest.mark.parametrize('broken', ['mmpose', 'mmcv', 'torch', 'numpy'])
def test_broken_package_is_said_without_traceback(broken, tmp_path):
    fake = tmp_path / 'fakes' / broken
    fake.mkdir(parents=True)
    (fake / '__init__.py').write_text('raise ImportError("libgone.so is missing")')
    lines = run_report(tmp_path, tmp_path / 'fakes')
    assert 'BROKEN' in lines[broken]
    assert 'libgone.so is missing' in lines[broken]
    assert lines['python'].endswith(sys.executable)
    assert 'BROKEN' in lines['models']


def test_broken_mmpose_raises_its_own_error_when_imported(tmp_path):
    (tmp_path / 'mmpose').mkdir()
    (tmp_path / 'mmpose' / '__init__.py').write_text('raise ImportError("libgone.so")')
    done = subprocess.run(
        [sys.executable, '-c', 'import mmpose_lite.models'],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.strip().endswith('ImportError: libgone.so')
