"""How the console command ends: exit codes, and one line for what went wrong."""

import os
import signal
import subprocess
import sys

import pytest
from command_line import run_verb

ABSENT = 'No such file or directory: absent'


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['list', 'nosuch'], "no model has a name like 'nosuch'"),
        (['config', 'xhrnet-s8'], 'nearest: xhrnet-s18'),
        (['toy-data', 'out', '--train', '-1'], '--train: must be at least 0'),
        (['latency', '--out', 'o', '--rounds', '0'], '--rounds: must be at least 1'),
        (['benchmark', 'nosuchnet'], "there is no contestant 'nosuchnet'"),
        (['describe-keypoints', 'absent', 'out.py'], f'ANNOTATIONS: {ABSENT}'),
        (['convert', 'absent', 'out.pth'], f'IN: {ABSENT}'),
        (['export', 'xhrnet-s18', 'absent', 'm.onnx'], 'CHECKPOINT: No such file, and'),
        (['explain', 'absent', '--model', 'xhrnet-s18', '--out', 'o'],
         f'SOURCE: {ABSENT}'),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_one_line_and_two(
    words, message, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    ended = run_verb(*words)
    assert ended.code == 2
    assert ended.err.startswith('error: ')
    assert message in ended.err
    assert ended.err.count('\n') == 1
    assert list(tmp_path.iterdir()) == []


def test_own_description_of_keypoints_is_not_overwritten(tmp_path):
    source, target = tmp_path / 'a.json', tmp_path / 'own.py'
    person = '{"id": 1, "name": "cat", "keypoints": ["left_ear", "right_ear"]}'
    source.write_text(f'{{"images": [], "annotations": [], "categories": [{person}]}}')
    target.write_text('mine')
    ended = run_verb('describe-keypoints', source, target)
    assert (ended.code, target.read_text()) == (2, 'mine')
    assert 'see --overwrite' in ended.err
    assert run_verb('describe-keypoints', source, target, '--overwrite').code == 0
    assert 'left_ear' in target.read_text()


@pytest.mark.skipif(os.name == 'nt', reason='there are no such signals')
def test_terminated_verb_removes_what_it_was_writing(tmp_path):
    code = (
        'import sys, time\n'
        'from mmpose_lite import cli\n'
        'from mmpose_lite.cli import config\n'
        'from mmpose_lite.io.files import atomic_file\n'
        'def run(args):\n'
        '    with atomic_file("film") as file:\n'
        '        file.write(b"half"); print(flush=True); time.sleep(60)\n'
        'config.run = run\n'
        'sys.exit(cli.main(["config", "xhrnet-s18"]))\n'
    )
    words = [sys.executable, '-c', code]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    assert list(tmp_path.iterdir()) == []
