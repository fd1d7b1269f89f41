"""Files that exist either whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# A writer may need a suffix that tells the format: '.NAME.HOST.PID.START.part.mp4'.
_PART = re.compile(r'\..+\.([\w-]+)\.(\d+)\.(\d+)\.part(\.\w+)?')
_UNTOUCHED = 24 * 3600.0  # seconds after which another machine's part is dead


def part_name(path: str | os.PathLike[str]) -> str:
    """Name beside ``path``, under which this process writes it.

    Host and start of the process, in ``.NAME.HOST.PID.START.part``, tell it from one of
    the same number elsewhere or later.
    """
    folder, name = os.path.split(os.fspath(path))
    pid = os.getpid()
    return os.path.join(folder, f'.{name}.{_host()}.{pid}.{_start(pid)}.part')


@contextmanager
def atomic_file(
    path: str | os.PathLike[str], *, sync: bool = False
) -> Iterator[BinaryIO]:
    """Open a file that takes its name only when the block ends without an error.

    Args:
        path: Where to; an older file there is replaced. Its folder must exist.
        sync: Also wait until the content, and then the name, are on the disk, so that
            a power cut cannot leave the new name with missing content either.

    Raises:
        OSError: If the folder cannot be written to; nothing is left behind.
    """
    part = part_name(path)
    try:
        with open(part, 'wb') as file:
            yield file
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException as error:
        if os.path.exists(part):
            os.unlink(part)
        # The name meanwhile says nothing to whoever asked for the file.
        if isinstance(error, OSError) and error.filename == part:
            raise type(error)(error.errno, error.strerror, os.fspath(path)) from error
        raise
    if sync:
        _sync_folder(os.path.dirname(part) or '.')


def write_atomically(
    path: str | os.PathLike[str], data: bytes, *, sync: bool = False
) -> None:
    """Write a file under another name beside its own, then rename it.

    Its folder must exist; ``sync`` and errors are those of :func:`atomic_file`.
    """
    with atomic_file(path, sync=sync) as file:
        file.write(data)


def remove_parts(folder: str | os.PathLike[str]) -> list[str]:
    """Remove what killed processes left half-written in a folder, not in its folders.

    Only names that :func:`part_name` makes are touched, a suffix after them included.
    Parts of a process that still runs stay. Of another machine's processes nothing is
    known here: their parts go once nothing has been written to them for a day.

    Returns:
        Names of what was removed.
    """
    removed = []
    for path in sorted(Path(folder).iterdir()):
        if not _is_left(path):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        removed.append(path.name)
    return removed


def adopt_part(path: str | os.PathLike[str]) -> Path:
    """Part of a file, named by :func:`part_name`, that this process may go on writing.

    What a killed process left of the same file has been renamed to it.
    """
    own = Path(part_name(path))
    if not own.exists():
        for other in own.parent.glob(f'.{glob.escape(Path(path).name)}.*.part'):
            if _is_left(other):
                # Of two processes that want it, one finds it gone.
                with contextlib.suppress(FileNotFoundError):
                    other.rename(own)
                    break
    return own


def _is_left(path: Path) -> bool:
    """Whether a path is a part that nobody goes on writing."""
    found = _PART.fullmatch(path.name)
    if found is None:
        return False
    host, pid, start = found[1], int(found[2]), found[3]
    if host == _host():
        return not (_runs(pid) and _start(pid) == start)
    return time.time() - _last_change(path) >= _UNTOUCHED


def _host() -> str:
    """Name of this machine, in letters that a part's name may have."""
    return re.sub(r'[^\w-]', '-', platform.node()) or 'localhost'


def _start(pid: int) -> str:
    """When a process started, in a unit of the system; '0' where it cannot be read."""
    try:
        stat = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return '0'
    # Field 22; field 2, the name in brackets, may have spaces.
    return stat.rpartition(')')[2].split()[19]


def _runs(pid: int) -> bool:
    """Whether a process of that number runs here."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _last_change(path: Path) -> float:
    """When a file, or anything in a folder, was written to."""
    try:
        return max(p.stat().st_mtime for p in (path, *path.rglob('*')))
    except FileNotFoundError:  # it was just renamed: its process lives
        return time.time()


def _sync_folder(folder: str) -> None:
    """Put the names in a folder on the disk, where the system can do so."""
    if os.name == 'nt':
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # not supported by some network file systems
            raise
    finally:
        os.close(handle)
