"""Files that exist either whole or not at all."""

from __future__ import annotations

import os


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file under another name beside its own, then rename it.

    Args:
        path: Where to; an older file there is replaced. Its folder must exist.
        data: The whole content.

    Raises:
        OSError: If the folder cannot be written to; nothing is left behind.
    """
    folder, name = os.path.split(os.fspath(path))
    part = os.path.join(folder, f'.{name}.{os.getpid()}.part')
    try:
        with open(part, 'wb') as file:
            file.write(data)
        os.replace(part, path)
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
