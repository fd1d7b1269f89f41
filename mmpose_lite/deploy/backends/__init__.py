"""Formats that networks are exported to, a module and a record each.

A format that is missing takes both, and rows of ``FORMATS`` and ``ENGINES`` in
:mod:`mmpose_lite.deploy.runtime`, by which it is run.
"""

from __future__ import annotations

import os
from pathlib import Path

from .base import Backend, Files
from .native import NATIVE
from .onnx import ONNX
from .openvino import OPENVINO

__all__ = ['BACKENDS', 'Backend', 'Files', 'find_backend']

BACKENDS = {backend.name: backend for backend in (ONNX, OPENVINO, NATIVE)}
"""Name to format."""


def find_backend(out: str | os.PathLike[str], name: str | None = None) -> Backend:
    """Record of the named format, or of the one that a file's suffix says.

    Raises:
        ValueError: If there is none, or the suffix is that of another.
    """
    suffix = Path(out).suffix
    if name is None:
        suffixes = {one.suffixes[0]: one for one in BACKENDS.values()}
        if suffix not in suffixes:
            raise ValueError(f'out must end in one of {tuple(suffixes)}, got {out}')
        return suffixes[suffix]
    if name not in BACKENDS:
        raise ValueError(f'format must be one of {tuple(BACKENDS)}, got {name!r}')
    return BACKENDS[name]
