"""Places between pixels for bilinear up-sampling."""

from __future__ import annotations


def between(
    before: int, after: int, corners: bool
) -> tuple[list[int], list[int], list[float]]:
    """For every row or column of the result the two it lies between.

    Args:
        before: Rows or columns of the input.
        after: Those of the result.
        corners: Whether the outermost pixels' centres coincide, not their edges.

    Returns:
        The first, the second, and the share of the second.
    """
    first, second, share = [], [], []
    for i in range(after):
        if corners:
            place = i * (before - 1) / (after - 1) if after > 1 else 0.0
        else:
            place = max((i + 0.5) * before / after - 0.5, 0.0)
        low = min(int(place), before - 1)
        first.append(low)
        second.append(min(low + 1, before - 1))
        share.append(place - low)
    return first, second, share
