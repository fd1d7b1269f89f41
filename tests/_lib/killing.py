"""Processes that die where they are told, and comparison of what they leave behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import torch

from mmpose_lite.io import files

STATE = ('state_dict', 'optimizer', 'ema_state_dict', 'param_schedulers')


CHECKPOINTS = ('.pth', 'last_checkpoint')


def is_moment(event, args, written=CHECKPOINTS):
    """Whether a process could die here with a half-done change to its results.

    Args:
        event: Of an audit hook.
        args: Of the event.
        written: A file whose path has one of these in it belongs to the results.
    """
    if event.startswith('run.'):
        return True
    if event == 'open':
        path, mode = str(args[0]), args[1] or 'r'
        return str(mode)[0] in 'wax' and any(part in path for part in written)
    return event in ('os.rename', 'os.remove', 'os.rmdir', 'os.mkdir')


class Wrapped:
    """A file whose ``write`` its children replace."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)


class HalfWriter(Wrapped):
    """A file whose every write stops in the middle for a moment."""

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        sys.audit('run.half', self.file.name)
        self.file.write(data[len(data) // 2 :])


def _live(work_dir, die_at, journal, train, written):
    moments, pid = 0, os.getpid()
    os.setpgid(0, 0)  # so that all it starts can be killed along with it

    def watch(event, args):
        nonlocal moments
        if os.getpid() == pid and is_moment(event, args, written):  # no worker's
            moments += 1
            if moments == die_at:
                os.kill(pid, signal.SIGKILL)
            if journal is not None:
                os.write(journal, f'{event} {args[0]}\n'.encode())

    files.open = lambda *args: HalfWriter(open(*args))  # noqa: SIM115  (it closes)
    sys.addaudithook(watch)
    torch.manual_seed(0)
    train(work_dir)


def live(work_dir, train, die_at=0, journal=None, written=CHECKPOINTS, seconds=None):
    """Train (or go on training, or do anything else) in a process of its own.

    Args:
        work_dir: Where its checkpoints lie.
        train: What it does there.
        die_at: Number of the moment at which it kills itself; 0 for never.
        journal: File descriptor to which it writes its moments.
        written: What it writes; see :func:`is_moment`.
        seconds: After which it is killed, with all that it has started; None for
            never.

    Returns:
        Whether it came to its end.
    """
    context = multiprocessing.get_context('fork')
    arguments = (work_dir, die_at, journal, train, written)
    process = context.Process(target=_live, args=arguments)
    process.start()
    process.join(seconds)
    if process.is_alive():
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode == 0


def last(work_dir):
    """The checkpoint to resume from, read whole, or None."""
    pointer = Path(work_dir, 'last_checkpoint')
    return torch.load(pointer.read_text()) if pointer.exists() else None


def names(work_dir):
    """What lies in the folder besides logs."""
    return sorted(
        path.name for path in Path(work_dir).iterdir() if not path.name[0].isdigit()
    )


def assert_same(one, other, path='checkpoint'):
    """Bitwise equality of nested states."""
    assert type(one) is type(other), path
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f'{path}[{key!r}]')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), path
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f'{path}[{i}]')
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    else:
        assert one == other, path
