"""Computed position tables, told from learned ones by their values."""

from __future__ import annotations

import torch
from torch import Tensor


def rounding(table: Tensor, least: float) -> float:
    """Error to allow, and ``least``, in values up to 1 of a table of floating type."""
    return max(least, 4 * torch.finfo(table.dtype).eps)


def is_sine_table(table: Tensor) -> bool:
    """Whether a table ``(1, tokens, width)`` is made of sines and cosines.

    Neighbouring features ``2k`` and ``2k + 1`` are then the sine and the cosine of one
    angle, so their squares add up to 1; in a learned table they do not.
    """
    if table.ndim != 3 or table.shape[-1] % 2 or not table.is_floating_point():
        return False
    pairs = table.double().unflatten(-1, (-1, 2))  # (1, tokens, width / 2, 2)
    deviation = (pairs.square().sum(-1) - 1).abs()
    return bool((deviation <= rounding(table, 1e-4)).all())
