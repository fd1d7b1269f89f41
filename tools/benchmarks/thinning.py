"""Random networks of a search space with given MACs."""

from __future__ import annotations

import random

import numpy as np

from mmpose_lite.models.backbones.hrnas_arch import BlockArch, SearchSpace, full_arch
from mmpose_lite.search import MacsCost
from mmpose_lite.search.latency_table import round_up


def thin(
    space: SearchSpace,
    fraction: float,
    seed: int,
    size: tuple[int, int],
    multiple: int = 1,
) -> tuple[BlockArch, ...]:
    """The supernet without random channels, kernel sizes and tokens.

    Every group of channels or tokens draws what share of it is left, alike within a
    block more often than not; all shares are moved up or down together until the MACs
    fit, and those that reach nothing are gone.

    Args:
        space: The supernet.
        fraction: MACs to keep, of the supernet's.
        seed: Chooses one of the networks with these MACs.
        size: Height and width of the image.
        multiple: Of what the hidden widths are left, where that is not too wide.
    """
    draw, full, cost = random.Random(seed), full_arch(space), MacsCost(size)
    shares = []
    for block in full:
        common = draw.random()
        count = len(block.channels) + 1
        shares.append([0.4 * common + 0.6 * draw.random() for _ in range(count)])

    def moved(shift: float) -> tuple[BlockArch, ...]:
        archs = []
        for block, drawn in zip(full, shares, strict=True):
            kept = [min(max(share + shift, 0.0), 1.0) for share in drawn]
            rows = zip(block.kernels, block.channels, kept[:-1], strict=True)
            ops = [(k, round_up(round(n * s), multiple, n)) for k, n, s in rows]
            ops = [(kernel, count) for kernel, count in ops if count]
            archs.append(
                BlockArch(
                    tuple(kernel for kernel, _ in ops),
                    tuple(count for _, count in ops),
                    round(block.tokens * kept[-1]),
                )
            )
        return tuple(archs)

    low, high = -1.0, 1.0
    target = fraction * cost.network(space, full)
    for _ in range(30):
        middle = (low + high) / 2
        if cost.network(space, moved(middle)) < target:
            low = middle
        else:
            high = middle
    return moved(high)


def spread(count: int, low: float = 0.2, high: float = 1.0) -> list[float]:
    """Evenly spread fractions from ``low`` to ``high``."""
    return [float(f) for f in np.linspace(low, high, count)]
