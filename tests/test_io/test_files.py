"""Files that exist either whole or not at all."""

import os
import subprocess
import sys
import time

import pytest

from mmpose_lite.io import files
from mmpose_lite.io.files import atomic_file, part_name, remove_parts, write_atomically


@pytest.mark.parametrize('sync', [False, True])
def test_writes_and_replaces(tmp_path, sync):
    path = tmp_path / 'a.txt'
    write_atomically(path, b'one', sync=sync)
    write_atomically(str(path), b'two', sync=sync)
    assert path.read_bytes() == b'two'
    assert os.listdir(tmp_path) == ['a.txt']


def test_writes_into_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_atomically('a.txt', b'one', sync=True)
    assert (tmp_path / 'a.txt').read_bytes() == b'one'


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


def test_errors_name_the_file_that_was_asked_for(tmp_path):
    path = tmp_path / 'nowhere' / 'a.txt'
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(path, b'new')
    assert caught.value.filename == str(path)
    with pytest.raises(IsADirectoryError) as caught:
        write_atomically(tmp_path, b'new')
    assert '.part' not in str(caught.value)


def test_name_comes_with_the_end_of_the_block(tmp_path):
    path = tmp_path / 'a.txt'
    with atomic_file(path) as file:
        file.write(b'half')
        assert os.listdir(tmp_path) == [os.path.basename(part_name(path))]
    assert os.listdir(tmp_path) == ['a.txt']


def test_content_is_on_the_disk_before_its_name(tmp_path, monkeypatch):
    """File, then name, then folder."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def synced(handle):
        calls.append(os.path.basename(os.readlink(f'/proc/self/fd/{handle}')))
        fsync(handle)

    def replaced(source, target):
        calls.append('rename')
        replace(source, target)

    monkeypatch.setattr(os, 'fsync', synced)
    monkeypatch.setattr(os, 'replace', replaced)
    path = tmp_path / 'a.txt'
    write_atomically(path, b'one', sync=True)
    assert calls == [os.path.basename(part_name(path)), 'rename', tmp_path.name]


def part_of(name, pid, start=None, host=None, suffix=''):
    host = files._host() if host is None else host
    start = files._start(pid) if start is None else start
    return f'.{name}.{host}.{pid}.{start}.part{suffix}'


def test_leftovers_of_the_dead_go_and_nothing_else(tmp_path):
    dead = subprocess.Popen([sys.executable, '-c', ''])
    dead.wait()
    left = (
        part_of('a.pth', dead.pid),
        part_of('clip.mp4', dead.pid, suffix='.mp4'),  # as a video writer needs it
        part_of('b', os.getppid(), start=1),  # a number that was given again
    )
    stay = (
        part_of('a.pth', os.getppid()),  # another process that writes just now
        os.path.basename(part_name('mine')),  # so does this one, in another thread
        part_of('a.pth', dead.pid)[1:],
        part_of('a.pth', dead.pid) + 'ial',
        f'.a.pth.{dead.pid}.part',
        '.a.pth.part',
        'a.pth',
    )
    for name in (*left, *stay):
        (tmp_path / name).write_bytes(b'')
    folder = part_of('c', dead.pid)
    (tmp_path / folder).mkdir()
    (tmp_path / folder / 'draft').write_bytes(b'')
    assert remove_parts(tmp_path) == sorted((*left, folder))
    assert sorted(os.listdir(tmp_path)) == sorted(stay)


def test_parts_of_another_machine_stay_for_a_day(tmp_path):
    """A process of that number is no sign: the folder is shared, its host is not."""
    fresh, old, busy = (part_of(n, os.getppid(), host='other') for n in 'abc')
    for name in (fresh, old):
        (tmp_path / name).write_bytes(b'')
    (tmp_path / busy).mkdir()
    long_ago = time.time() - 25 * 3600
    for name in (old, busy):
        os.utime(tmp_path / name, (long_ago, long_ago))
    (tmp_path / busy / 'draft').write_bytes(b'')
    os.utime(tmp_path / busy, (long_ago, long_ago))
    assert remove_parts(tmp_path) == [old]
