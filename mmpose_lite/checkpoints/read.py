"""Checkpoint files, read without running anything that lies in them."""

from __future__ import annotations

import os
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch

from ..io.download import download
from . import damage, pdparams, safetensors
from .damage import DamagedError, OtherFileError

_LONGEST = 200
_CODE = re.compile(r'[Uu]nsupported (?:global|class|GLOBAL)\b[^.\n]*\S*')


def read_checkpoint(
    path: str | os.PathLike[str], *, allow_nonfinite: bool = False
) -> Any:
    """Content of a checkpoint file, on the CPU, by a loader that runs nothing.

    What ``torch.save`` wrote is read by torch's weights-only loader, safetensors and
    Paddle's ``.pdparams`` by their own. The content says which of them a file is,
    whatever its name.

    A change in what ``torch.save`` wrote is noticed by its checksums. Files of torch
    before 1.6 and safetensors have none.

    Raises:
        ImportError: If it holds safetensors and their package is missing.
        MemoryError: If it does not fit into the memory of this machine.
        OSError: If the file cannot be opened.
        ValueError: If loading it needs code of its own (the message names what), or if
            it is damaged or no checkpoint, or if a tensor holds NaN or infinite values
            (the message names its key), unless ``allow_nonfinite``.
    """
    try:
        content = _load(path)
        size = os.path.getsize(path)
        damage.check_content(content, size, allow_nonfinite=allow_nonfinite)
        return content
    except ImportError:
        raise
    # Whatever a damaged file makes the loaders stumble over: KeyError, EOFError, …
    except Exception as error:
        # Without a file's name it is a place outside of the file that was asked for.
        if isinstance(error, OSError) and error.filename is not None:
            raise
        if _lacks_memory(error, os.path.getsize(path)):
            raise MemoryError(
                f'{path} ({os.path.getsize(path)} bytes) does not fit into the memory '
                'of this machine'
            ) from error
        refused = _CODE.search(str(error))
        if refused:
            raise ValueError(
                f'{path} is refused: it holds more than weights, and loading it would '
                f'run code ({refused[0]})'
            ) from error
        if isinstance(error, OtherFileError):
            raise ValueError(f'{path} is refused: {error}') from error
        raise ValueError(
            f'{path} is damaged or no checkpoint ({_reason(error)})'
        ) from error


def fetch(where: str | os.PathLike[str]) -> str:
    """Path of a checkpoint, which is downloaded if an ``http`` address is given.

    What was downloaded once, by MMEngine too, stays in torch's cache.

    Raises:
        OSError: If it cannot be downloaded.
    """
    where = os.fspath(where)
    address = urlparse(where)
    if address.scheme not in ('http', 'https'):
        return where
    path = Path(torch.hub.get_dir()) / 'checkpoints' / Path(address.path).name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        download(where, path)
    return str(path)


def _load(path: str | os.PathLike[str]) -> Any:
    with open(path, 'rb') as file:
        start = file.read(len(damage.ARCHIVE))
    if not start:
        raise DamagedError('it is empty')
    if safetensors.is_safetensors(path):
        return safetensors.load(path)
    if pdparams.is_pdparams(path):
        return pdparams.load(path)
    if start == damage.ARCHIVE:
        damage.check_archive(path)
    elif damage.is_tar(path):
        raise DamagedError('it is a tar of torch before 0.2, or begins with zeros')
    # With mmengine, the safe loader also learns what mmengine writes.
    if find_spec('mmengine') is not None:
        import_module('mmengine')
    # Opened here: torch would go by the suffix.
    with open(path, 'rb') as file:
        return torch.load(file, map_location='cpu', weights_only=True)


def _lacks_memory(error: Exception, size: int) -> bool:
    """Whether memory ran out for a file's own bytes, not for what damage claims."""
    asked = re.search(r"can't allocate memory: .*?(\d+) bytes", str(error))
    if asked is not None:  # torch's RuntimeError
        return int(asked[1]) <= size
    if not isinstance(error, MemoryError):
        return False
    try:
        bytearray(size)
    except MemoryError:
        return True
    return False


def _reason(error: Exception) -> str:
    """What a loader said, without what only its authors understand."""
    text = str(error)
    known = type(error).__module__.startswith('safetensors')
    if known or isinstance(error, DamagedError):
        return text
    detail = re.search(r'WeightsUnpickler error:\s*([^\n]+)', text)
    if detail:
        return detail[1].strip()
    first = text.partition('\n')[0][:_LONGEST]
    return f'{type(error).__name__}: {first}' if first else type(error).__name__
