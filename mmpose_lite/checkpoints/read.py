"""Checkpoint files, read without running anything that lies in them."""

from __future__ import annotations

import os
import re
from typing import Any

import torch

from . import safetensors


def read_checkpoint(path: str | os.PathLike[str]) -> Any:
    """Content of a checkpoint file, on the CPU, by a loader that runs nothing.

    What ``torch.save`` wrote is read by torch's weights-only loader, safetensors by
    their own. The content says which of them a file is, whatever its name.

    Args:
        path: The file.

    Raises:
        ImportError: If it holds safetensors and their package is missing.
        OSError: If the file cannot be opened.
        ValueError: If loading it needs code of its own (the message names what), or if
            it is damaged or no checkpoint.
    """
    try:
        if safetensors.is_safetensors(path):
            return safetensors.load(path)
        # Opened here: torch would go by the suffix.
        with open(path, 'rb') as file:
            return torch.load(file, map_location='cpu', weights_only=True)
    except (OSError, ImportError):
        raise
    # Whatever a damaged file makes the loaders stumble over: KeyError, EOFError, …
    except Exception as error:
        refused = re.search(r'Unsupported (?:global|class)[^.\n]*\S*', str(error))
        if refused:
            raise ValueError(
                f'{path} is refused: it holds more than weights, and loading it would '
                f'run code ({refused[0]})'
            ) from error
        raise ValueError(
            f'{path} is damaged or no checkpoint ({_reason(error)})'
        ) from error


def _reason(error: Exception) -> str:
    """What a loader said, without what only its authors understand."""
    text = str(error)
    if type(error).__module__.startswith('safetensors'):
        return text
    detail = re.search(r'(?<=WeightsUnpickler error: )[^\n]+', text)
    return detail[0].strip() if detail else type(error).__name__
