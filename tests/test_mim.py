"""Runs of mim: what they are called with, what is logged and told, how they fail."""

import sys

import pytest

from mmpose_lite import mim


@pytest.fixture
def say(tmp_path, monkeypatch):
    """A run that prints its arguments, or fails where the config is called so."""
    code = "import sys; print(*sys.argv[1:]); 'bad' in sys.argv and sys.exit('no luck')"
    monkeypatch.setattr(mim, 'MIM', (sys.executable, '-c', code))

    def run(config, *words, **options):
        told = []
        mim.run_mim(
            'test', config, tmp_path / 'run', *words, tell=told.append, **options
        )
        return ''.join(told)

    return run


def test_lines_are_told_and_added_to_the_log(say, tmp_path):
    first = say('a.py', '--checkpoint', 'b.pth', options=['c=1', 'd=2'], gpus=1)
    words = f'test mmpose a.py --gpus 1 --work-dir {tmp_path}/run --checkpoint b.pth'
    assert first == f'{words} --cfg-options c=1 d=2\n'
    second = say('other.py')
    assert '--cfg-options' not in second
    assert (tmp_path / 'run.test.log').read_text() == first + second


def test_failures_end_with_the_log(say, tmp_path):
    with pytest.raises(mim.MimError) as failed:
        say('bad')
    log = tmp_path / 'run.test.log'
    assert str(failed.value).endswith(f'no luck\nmim test failed; its log is {log}')
    assert failed.value.log == log
