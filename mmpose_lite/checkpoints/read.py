"""Checkpoint files, read without running anything that lies in them."""

from __future__ import annotations

import os
import re
from typing import Any

import torch


def read_checkpoint(path: str | os.PathLike[str]) -> Any:
    """Content of a checkpoint file, on the CPU, by torch's weights-only loader.

    Args:
        path: File that ``torch.save`` wrote.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If loading it needs code of its own (the message names what), or if
            it is damaged or no checkpoint.
    """
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except OSError:
        raise
    # Whatever a damaged file makes the unpickler stumble over: KeyError, EOFError, …
    except Exception as error:
        refused = re.search(r'Unsupported (?:global|class)[^.\n]*\S*', str(error))
        if refused:
            raise ValueError(
                f'{path} is refused: it holds more than weights, and loading it would '
                f'run code ({refused[0]})'
            ) from error
        detail = re.search(r'(?<=WeightsUnpickler error: )[^\n]+', str(error))
        raise ValueError(
            f'{path} is damaged or no checkpoint '
            f'({detail[0].strip() if detail else type(error).__name__})'
        ) from error
