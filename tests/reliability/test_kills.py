"""Work that is killed, and killed again, ends as work that was left in peace."""

from __future__ import annotations

import errno
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from killing import Wrapped, live

from mmpose_lite.io import files
from reliability.frame import cases
from reliability.jobs import JOBS

pytestmark = pytest.mark.slow
SECTION = (4, 'Killed runs')
KILLS = 2
COUNTS = {'training': 8, 'search': 8, 'export': 4, 'conversion': 4, 'toy data': 6}
CASES = [
    *((job, 'moment', n) for job, count in COUNTS.items() for n in range(count)),
    # Not where something is written, but at any time.
    *((job, 'time', n) for job in COUNTS for n in range(2)),
    *(('search', 'shrink', n) for n in range(4)),
    *(('benchmark', 'time', n) for n in range(3)),
]


class Undisturbed:
    """Runs that nobody killed, each made when it is first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.found: dict[str, tuple[Path, list[str], float]] = {}

    def __call__(self, name: str) -> tuple[Path, list[str], float]:
        """Folder of a job's results, its moments, and how long it took."""
        if name not in self.found:
            folder = prepared(self.root / name, name)
            began, job = time.monotonic(), JOBS[name]
            journal = folder.parent / 'journal'
            writer = os.open(journal, os.O_WRONLY | os.O_CREAT)
            assert live(folder, job.run, journal=writer, written=job.written)
            os.close(writer)
            moments = journal.read_text().splitlines()
            self.found[name] = folder, moments, time.monotonic() - began
            job.check(folder)
        return self.found[name]


def prepared(root: Path, name: str) -> Path:
    """An empty folder for a job, beside what it is given."""
    given, folder = root / 'given', root / 'results'
    given.mkdir(parents=True)
    folder.mkdir()
    JOBS[name].prepare(given)
    return folder


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    """See :class:`Undisturbed`."""
    return Undisturbed(tmp_path_factory.mktemp('undisturbed'))


@cases({f'{job}-{kind}-{n}': (job, kind, n) for job, kind, n in CASES})
def test_ends_as_if_undisturbed(case, undisturbed, tmp_path):
    name, kind, number = case
    job, rng = JOBS[name], random.Random(f'{name}{kind}{number}')
    reference, moments, seconds = undisturbed(name)
    folder = prepared(tmp_path, name)
    struck = 0
    for _ in range(KILLS):
        when = {}
        if kind == 'time':
            when['seconds'] = rng.uniform(0.02, 0.9) * seconds
        elif kind == 'shrink':
            cuts = [i for i, m in enumerate(moments, 1) if m == 'run.step cut']
            when['die_at'] = rng.choice(cuts[: len(cuts) // 2])
        else:
            when['die_at'] = rng.randint(1, max(1, int(0.8 * len(moments))))
        if live(folder, job.run, written=job.written, **when):
            break
        struck += 1
        job.check(folder)
    # Where a second start has less to do, it can be over before its turn to die.
    assert struck >= 1 or kind == 'time'
    assert live(folder, job.run, written=job.written)
    job.check(folder)
    job.compare(folder, reference)


@pytest.mark.parametrize('name', ['training', 'search', 'export', 'toy data'])
def test_full_disk_is_told_and_costs_nothing(name, tmp_path, monkeypatch, request):
    """Whatever was whole before stays whole, and the next start goes on."""
    job, rng = JOBS[name], random.Random(name)
    undisturbed = request.getfixturevalue('undisturbed')
    reference, moments, _ = undisturbed(name)
    folder = prepared(tmp_path, name)
    halves = sum(moment.startswith('run.half') for moment in moments)
    assert halves
    full = rng.randint(1, halves)
    count = 0

    class Full(Wrapped):
        """A file on a disk that is full from some write on."""

        def write(self, data):
            nonlocal count
            count += 1
            if count >= full:
                self.file.write(data[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return self.file.write(data)

    torch.manual_seed(0)  # as every other start
    with monkeypatch.context() as patched:
        patched.setattr(files, 'open', lambda *a: Full(open(*a)), raising=False)  # noqa: SIM115
        with pytest.raises(OSError, match='No space left'):
            job.run(folder)
    job.check(folder)
    assert live(folder, job.run, written=job.written)
    job.compare(folder, reference)


SMALL_DISK = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from reliability.jobs import JOBS
JOBS['training'].run(Path(sys.argv[1]))
"""


def test_small_disk(tmp_path):
    """A real one: a file system in memory that holds two checkpoints and a half."""
    mount = shutil.which('unshare')
    folder = tmp_path / 'disk'
    folder.mkdir()
    inside = 'mount -t tmpfs -o size={size} tmpfs "$1" && shift && exec "$@"'
    words = [mount or 'unshare', '--map-root-user', '--mount', 'bash', '-c']

    def run(size, *command):
        shell = [*words, inside.format(size=size), 'bash', str(folder), *command]
        return subprocess.run(shell, capture_output=True, text=True, check=False)

    if mount is None or run('64k', 'true').returncode:
        pytest.skip('this system lets no one mount a file system of their own')
    tests = Path(__file__).parents[1]
    program = SMALL_DISK.format(
        path=[str(tests), str(tests / '_lib'), str(tests.parent)]
    )
    keep = tmp_path / 'kept'
    script = (
        f'{sys.executable} -W ignore -c "$0" {folder}/run; code=$?; '
        f'cp -r {folder}/run {keep}; exit $code'
    )
    done = run('56k', 'bash', '-c', script, program)
    assert done.returncode
    assert 'No space left' in done.stderr
    JOBS['training'].check(keep)
    assert list(keep.glob('epoch_*.pth'))
