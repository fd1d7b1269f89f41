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


def run_python(words, cwd, *path):
    """A fresh Python that finds packages in ``path``, before its own."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run_report(tmp_path, first_on_path=''):
    """``mmpose-lite env`` in a fresh process.

    Returns:
        The lines of its output, after checking that it ended well and quietly.
    """
    words = ('-W', 'ignore', '-m', 'mmpose_lite', 'env')
    done = run_python(words, tmp_path, *filter(None, (first_on_path,)), ROOT)
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


def test_missing_packages_come_with_the_line_that_installs_them(tmp_path):
    """As in an environment that has nothing, and in one whose packages are too old."""
    done = run_python(('-S', '-m', 'mmpose_lite', 'env'), tmp_path, ROOT)
    told = done.stdout.partition('to install:\n')[2].splitlines()
    assert [line.partition('  #')[0].strip() for line in told] == [
        'pip install torch torchvision',
        "pip install 'mmpose_lite[pose]'",
        'pip install --no-deps mmcv-lite==2.1.0 mmdet==3.3.0 mmpose==1.3.2 '
        'openmim==0.3.9',
        'pip install numpy opencv-python onnxruntime',
    ]
    assert told[2].endswith('# mmcv, mmdet, mmpose, mim missing')
    info = tmp_path / 'mmengine-0.9.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Name: mmengine\nVersion: 0.9\n')
    done = run_python(('-S', '-m', 'mmpose_lite', 'env'), tmp_path, tmp_path, ROOT)
    line = "pip install --no-deps 'mmengine>=0.10.1,<1'  # in place of 0.9"
    assert line in done.stdout


def test_nothing_is_to_be_installed_where_all_works():
    assert 'to install' not in env.report()


def test_broken_mmpose_raises_its_own_error_when_imported(tmp_path):
    (tmp_path / 'mmpose').mkdir()
    (tmp_path / 'mmpose' / '__init__.py').write_text('raise ImportError("libgone.so")')
    done = run_python(('-c', 'import mmpose_lite.models'), tmp_path, ROOT)
    assert done.returncode != 0
    assert done.stderr.strip().endswith('ImportError: libgone.so')
