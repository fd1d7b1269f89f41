"""Checkpoint files as bytes, so that whoever writes them can do so atomically."""

from __future__ import annotations

import io
import os
from pathlib import Path

import torch
from torch import Tensor

from . import safetensors


def encode_checkpoint(
    path: str | os.PathLike[str], state_dict: dict[str, Tensor], notes: dict[str, str]
) -> bytes:
    """Content of a file of this name.

    Args:
        path: Its name; one that ends in ``.safetensors`` decides for that format, any
            other for ``torch.save`` of ``state_dict`` and ``meta``, as MMEngine does.
        state_dict: The weights.
        notes: Words about them, for ``meta`` or the header.

    Raises:
        ImportError: If the name asks for safetensors and their package is missing.
    """
    if Path(path).suffix == safetensors.SUFFIX:
        return safetensors.dump(state_dict, notes)
    buffer = io.BytesIO()
    torch.save({'state_dict': state_dict, 'meta': notes}, buffer)
    return buffer.getvalue()
