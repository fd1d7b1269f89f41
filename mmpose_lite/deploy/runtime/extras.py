"""Packages that only some users need."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def extra(name: str) -> Any:
    """A module of the extra ``deploy``.

    Args:
        name: Absolute name, such as ``'onnxruntime'``.

    Raises:
        ImportError: If its package is not installed; the message says how to get it.
            A package that is there but broken raises its own error.
    """
    package = name.partition('.')[0]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(
            f'{package} is not installed; run: pip install mmpose_lite[deploy]'
        ) from error
