"""What is wrong with a checkpoint, before torch reads it and once it has been read.

torch compares no checksums: a byte that changed on a disk or on its way becomes another
weight. It also unpacks what is compressed, though it never compresses anything itself.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


class DamagedError(ValueError):
    """What is wrong with the content of a file, without its name."""


class OtherFileError(DamagedError):
    """What a whole file holds instead of weights."""


ARCHIVE = b'PK\x03\x04'  # what begins so torch reads as an archive
_CHUNK = 1 << 20  # bytes
_SHOWN = 8  # names of broken tensors
_FOLDER = 0x10  # among the attributes of a part


def is_tar(path: str | os.PathLike[str]) -> bool:
    """Whether torch would begin to unpack a file as a tar, as it once wrote them."""
    try:
        with tarfile.open(path, 'r:'):
            return True
    except (tarfile.TarError, EOFError):
        return False


def check_archive(path: str | os.PathLike[str]) -> None:
    """Compare every part of an archive with its checksum; reads the file once.

    DamagedError names a part that is not what was written, is compressed, is marked as
    a folder, or claims to be larger than the file.
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


def check_content(content: Any, size: int, *, allow_nonfinite: bool) -> None:
    """Refuse what is no mapping, or holds tensors that nobody can have trained.

    A tensor that claims more than the ``size`` of the file in bytes has one number many
    times, and would fill the memory where it is copied.
    """
    if not isinstance(content, Mapping):
        raise DamagedError(f'it holds a {type(content).__name__} and no named weights')
    broken: list[str] = []
    for name, tensor in _tensors(content):
        if tensor.layout != torch.strided or tensor.device.type != 'cpu':
            raise DamagedError(
                f'{name} is no plain tensor ({tensor.layout} on {tensor.device})'
            )
        if tensor.is_quantized or tensor.is_nested:
            raise DamagedError(f'{name} is no plain tensor (quantized or nested)')
        if tensor.numel() * tensor.element_size() > size:
            raise DamagedError(
                f'{name} claims the shape {tuple(tensor.shape)}, more than the '
                f'{size} bytes of the file'
            )
        if not (allow_nonfinite or _is_finite(tensor)):
            broken.append(name)
    if broken:
        more = f' and {len(broken) - _SHOWN} more' if len(broken) > _SHOWN else ''
        raise DamagedError(
            f'NaN or infinite values in {", ".join(broken[:_SHOWN])}{more}; '
            'allow_nonfinite=True takes them'
        )


def _is_finite(tensor: Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    if tensor.element_size() == 1:  # torch cannot ask floats of 8 bits
        tensor = tensor.float()
    return bool(torch.isfinite(tensor).all())


def _tensors(content: Any) -> Iterator[tuple[str, Tensor]]:
    """All tensors with the way to them; every object once, however often it is in."""
    stack: list[tuple[str, Any]] = [('', content)]
    seen: set[int] = set()
    while stack:
        name, value = stack.pop()
        if isinstance(value, Tensor):
            yield name, value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        children: list[tuple[Any, Any]] = []
        if isinstance(value, Mapping):
            children = list(value.items())
        elif isinstance(value, list | tuple | set):
            children = list(enumerate(value))
        lead = f'{name}/' if name else ''
        stack += [(f'{lead}{key}', child) for key, child in reversed(children)]
