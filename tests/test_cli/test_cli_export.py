"""``mmpose-lite export`` and ``compare``: what they print, and how they fail."""

import json

import pytest
from command_line import run_tool

from mmpose_lite.cli import main
from mmpose_lite.deploy.runtime import contract_path


def run(*words):
    return main(list(map(str, words)))


def test_export_and_compare(small, toy, tmp_path, capsys):
    out = tmp_path / 'm.onnx'
    common = ('export', small.config, small.checkpoint, out, '--images', *toy)
    loose = ('--tolerance', 'p95=1000', 'max=1000')
    assert run(*common, '--batch', 'dynamic', '--people', 3, *loose) == 0
    printed = capsys.readouterr().out
    assert 'largest keypoint shift' in printed
    assert 'person_keypoints_val.json' in printed
    assert json.loads(contract_path(out).read_text())['batch'] is None
    assert run('compare', out, out, '--images', *toy, '--rounds', 3) == 0
    assert '+0.00, 95 % within +0.00 and +0.00' in capsys.readouterr().out


def test_what_differs_is_not_written(small, toy, tmp_path, capsys):
    common = ('export', small.config, small.checkpoint, tmp_path / 'm.onnx')
    with pytest.raises(SystemExit) as ended:
        run(*common, '--images', *toy, '--tolerance', 'heatmap=1e-12', 'max=1e-9')
    assert ended.value.code == 1
    printed = capsys.readouterr().err.strip()
    assert printed.startswith('error: the exported network differs too much')
    assert len(printed.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_unknown_name_lists_the_nearest(small, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run('export', 'xhrnet-s8', small.checkpoint, tmp_path / 'm.onnx')
    assert ended.value.code == 2
    assert 'nearest: xhrnet-s18' in capsys.readouterr().err


@pytest.mark.parametrize(
    'words',
    [
        ('--precision', 'int8'),
        ('--calibrate', 'a', 'b'),
        ('--tolerance', 'heatmap=-1'),
        ('--tolerance', 'max=nan'),
        ('--tolerance', 'mean=1'),
        ('--batch', '0'),
        ('--people', '0'),
        ('--format', 'tflite'),
        ('--input-size', '100', '100'),
        ('--input-size', '256', '99999'),
    ],
)
def test_what_no_format_takes_is_a_bad_argument(words, small, tmp_path):
    with pytest.raises(SystemExit) as ended:
        run('export', small.config, small.checkpoint, tmp_path / 'm.onnx', *words)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ('tool', 'verb'),
    [
        ('export', 'export'),
        ('compare_precision', 'compare'),
        ('export_arch', 'retrain'),
    ],
)
def test_old_names_of_programs(tool, verb):
    assert run_tool(tool, '--help').startswith(f'usage: mmpose-lite {verb} ')
