"""Zip archives as ``torch.save`` writes them, checked before torch reads them.

torch compares no checksums: a byte that changed on a disk or on its way becomes another
weight. It also unpacks what is compressed, though it never compresses anything itself.
"""

from __future__ import annotations

import os
import tarfile
import zipfile


class DamagedError(ValueError):
    """What is wrong with the content of a file, without its name."""


class OtherFileError(DamagedError):
    """What a whole file holds instead of weights."""


_START = b'PK\x03\x04'
_CHUNK = 1 << 20  # bytes
_FOLDER = 0x10  # among the attributes of a part


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether torch reads a file as an archive."""
    with open(path, 'rb') as file:
        return file.read(len(_START)) == _START


def is_tar(path: str | os.PathLike[str]) -> bool:
    """Whether torch would begin to unpack a file as a tar, as it once wrote them."""
    try:
        with tarfile.open(path, 'r:'):
            return True
    except (tarfile.TarError, EOFError):
        return False


def check_archive(path: str | os.PathLike[str]) -> None:
    """Compare every part of an archive with its checksum; reads the file once.

    Raises:
        DamagedError: If a part is not what was written, is compressed, is marked as a
            folder, or claims to be larger than the file (the message says which,
            without the file's name).
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_parts(archive, os.path.getsize(path))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise DamagedError(str(error)) from error
    except EOFError as error:
        raise DamagedError('it ends too early') from error


def _check_parts(archive: zipfile.ZipFile, size: int) -> None:
    parts = archive.infolist()
    names = {part.filename for part in parts}
    if len(names) < len(parts):
        raise DamagedError('it has two parts of one name')
    claimed = sum(part.file_size for part in parts)
    if claimed > size:
        raise DamagedError(
            f'its parts claim to hold {claimed} bytes, the file has {size} in all'
        )
    for part in parts:
        if part.compress_type != zipfile.ZIP_STORED:
            raise DamagedError(f'{part.filename} is compressed, which torch never does')
        # torch unpacks nothing of these, and takes what was in memory for weights.
        if part.external_attr & _FOLDER:
            raise DamagedError(f'{part.filename} is marked as a folder')
    for part in parts:
        with archive.open(part) as content:
            while content.read(_CHUNK):
                pass
