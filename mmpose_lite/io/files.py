"""Files that exist either whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

_PART = re.compile(r'\..+\.(\d+)\.part')


def part_name(path: str | os.PathLike[str]) -> str:
    """Name beside ``path`` under which this process writes it.

    Args:
        path: What will be written.

    Returns:
        ``.NAME.PID.part`` in the same folder, so that a rename makes it ``path``.
    """
    folder, name = os.path.split(os.fspath(path))
    return os.path.join(folder, f'.{name}.{os.getpid()}.part')


@contextmanager
def atomic_file(
    path: str | os.PathLike[str], *, sync: bool = False
) -> Iterator[BinaryIO]:
    """Open a file that takes its name only when the block ends without an error.

    Args:
        path: Where to; an older file there is replaced. Its folder must exist.
        sync: Also wait until the content, and then the name, are on the disk, so that
            a power cut cannot leave the new name with missing content either.

    Yields:
        The file, open for writing bytes.

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
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
    if sync:
        _sync_folder(os.path.dirname(part) or '.')


def write_atomically(
    path: str | os.PathLike[str], data: bytes, *, sync: bool = False
) -> None:
    """Write a file under another name beside its own, then rename it.

    Args:
        path: Where to; an older file there is replaced. Its folder must exist.
        data: The whole content.
        sync: See :func:`atomic_file`.

    Raises:
        OSError: If the folder cannot be written to; nothing is left behind.
    """
    with atomic_file(path, sync=sync) as file:
        file.write(data)


def remove_parts(folder: str | os.PathLike[str]) -> list[str]:
    """Remove what killed processes left half-written in a folder.

    Only names that :func:`part_name` makes are touched, and not those of another
    process that still runs on this machine.

    Args:
        folder: The folder; its sub-folders are left alone.

    Returns:
        Names of what was removed.
    """
    removed = []
    for entry in sorted(os.listdir(folder)):
        found = _PART.fullmatch(entry)
        if found is None or _runs(int(found[1])):
            continue
        path = os.path.join(folder, entry)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
        removed.append(entry)
    return removed


def _runs(pid: int) -> bool:
    """Whether another process of that number runs here."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _sync_folder(folder: str) -> None:
    """Put the names in a folder on the disk, where the system can do so."""
    if os.name == 'nt':
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems know no such thing
            raise
    finally:
        os.close(handle)
