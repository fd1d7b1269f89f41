"""Checkpoint files as bytes, so that whoever writes them can do so atomically."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import safetensors


def encode_checkpoint(
    path: str | os.PathLike[str],
    state_dict: dict[str, Tensor],
    notes: Mapping[str, Any],
) -> bytes:
    """Content of a file of this name.

    Args:
        path: Its name; one that ends in ``.safetensors`` decides for that format, any
            other for ``torch.save`` of ``state_dict`` and ``meta``, as MMEngine does.
        notes: What is known of them, for ``meta`` or, as json, the header.

    Raises:
        ImportError: If the name asks for safetensors and their package is missing.
    """
    if Path(path).suffix == safetensors.SUFFIX:
        words = {key: _word(value) for key, value in notes.items()}
        return safetensors.dump(state_dict, words)
    buffer = io.BytesIO()
    torch.save({'state_dict': state_dict, 'meta': dict(notes)}, buffer)
    return buffer.getvalue()


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
