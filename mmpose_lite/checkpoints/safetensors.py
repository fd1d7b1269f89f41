"""Safetensors: files of named tensors and nothing else.

Their package is light but optional, so it is asked for by name, and only when such a
file is met.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from torch import Tensor

SUFFIX = '.safetensors'
_LONGEST_HEADER = 100_000_000  # bytes; the format allows no more


def is_safetensors(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as safetensors do: length of a JSON object, the object.

    No other kind of checkpoint does: read as a length, their first eight bytes are
    beyond what the format allows.
    """
    with open(path, 'rb') as file:
        start = file.read(9)
    return start[8:] == b'{' and int.from_bytes(start[:8], 'little') <= _LONGEST_HEADER


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors by name, on the CPU; a damaged file raises the package's own errors."""
    return _package().load_file(os.fspath(path))


def dump(tensors: dict[str, Tensor], notes: dict[str, str]) -> bytes:
    """Content of a file that has ``notes`` in its header."""
    # The format knows neither views nor two names for one piece of memory.
    whole = {key: value.cpu().contiguous().clone() for key, value in tensors.items()}
    return _package().save(whole, metadata={'format': 'pt', **notes})


def _package() -> Any:
    """The package for torch; ImportError, if it is missing, says how to get it."""
    try:
        return import_module('safetensors.torch')
    except ModuleNotFoundError as error:
        if error.name != 'safetensors':
            raise
        raise ImportError(
            'safetensors is not installed; run: pip install mmpose_lite[safetensors]'
        ) from error
