"""Packages that only some users have."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def extra(name: str) -> Any:
    """Module of OpenCV, of an engine or of a tool for a format.

    Raises:
        ImportError: If it is not installed; the message says what to install, and that
            takes no torch. A package that is there but broken raises its own error.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        engine = '' if name == 'cv2' else f' {name}'
        raise ImportError(
            f'{name} is not installed; exported files need no torch, but: '
            f'pip install numpy opencv-python{engine}'
        ) from error
