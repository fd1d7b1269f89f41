"""Files that exist either whole or not at all."""

import os

import pytest

from mmpose_lite.files import write_atomically


def test_writes_and_replaces(tmp_path):
    path = tmp_path / 'a.txt'
    write_atomically(path, b'one')
    write_atomically(str(path), b'two')
    assert path.read_bytes() == b'two'
    assert os.listdir(tmp_path) == ['a.txt']


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path, monkeypatch):
    path = tmp_path / 'a.txt'
    path.write_bytes(b'old')

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', fail)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b'new')
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['a.txt']
