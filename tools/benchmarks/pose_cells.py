"""How figures stand in the tables of the benchmark."""

from __future__ import annotations

from mmpose_lite.analysis import Spread

NONE = '–'
"""What stands where there is no figure."""


def middle_half(spread: Spread, digits: int | None = None) -> str:
    """A median, and the quartiles in brackets, in as many digits as their size asks."""
    middle, low, high = spread.median, spread.low, spread.high
    if digits is None:
        digits = 2 if middle < 10 else 1 if middle < 1000 else 0
    return f'{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})'
