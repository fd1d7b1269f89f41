"""Packages that only some users have."""

from __future__ import annotations

from importlib import import_module
from typing import Any

DISTRIBUTIONS = {'cv2': 'opencv-python'}
"""Module to what pip calls its package, where the names differ."""


def extra(name: str) -> Any:
    """Module of OpenCV, of an engine or of a tool for a format.

    Args:
        name: Absolute name, such as ``'onnxruntime'``.

    Raises:
        ImportError: If its package is not installed; the message says what to install,
            and that takes no torch. A package that is there but broken raises its own
            error.
    """
    package = name.partition('.')[0]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        wanted = dict.fromkeys((*('numpy', 'opencv-python'),
                                DISTRIBUTIONS.get(package, package)))  # fmt: skip
        raise ImportError(
            f'{package} is not installed; exported files need no torch, but: '
            f'pip install {" ".join(wanted)}'
        ) from error
