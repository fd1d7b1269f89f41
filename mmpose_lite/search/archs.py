"""Architectures in figures, as files, and the one that a search must beat."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..models.backbones.hrnas_arch import BlockArch, SearchSpace, full_arch
from .costs import CostModel


def extent(space: SearchSpace, arch: Sequence[BlockArch]) -> dict[str, int]:
    """Hidden channels per kernel size, blocks in use, and queries if there are any."""
    facts = {f'channels {kernel}x{kernel}': 0 for kernel in space.kernels}
    for block in arch:
        for kernel, count in zip(block.kernels, block.channels, strict=True):
            facts[f'channels {kernel}x{kernel}'] += count
    facts['blocks'] = sum(bool(block.channels or block.tokens) for block in arch)
    if space.transformer is not None:
        facts['queries'] = sum(block.tokens for block in arch)
    return facts


def format_arch(arch: Mapping[str, Any]) -> str:
    """JSON of what ``dump_arch`` gives, a line for each block and each field."""
    return re.sub(r'\n {3,}|\n {2}(?=\])', ' ', json.dumps(arch, indent=1)) + '\n'


def uniform_arch(space: SearchSpace, cost: CostModel, target: float) -> list[BlockArch]:
    """The widest uniformly thinned supernet that costs at most ``target``.

    Every kernel size of every block keeps the same share of its hidden channels,
    every transformer the same share of its tokens, rounded down; none loses all.

    Raises:
        ValueError: If even one channel each costs more.
    """
    low, high = 0.0, 1.0
    if (least := cost.network(space, _thinned(space, low))) > target:
        raise ValueError(
            f'target must be at least {least:.4g} {cost.unit} for one channel of every '
            f'kind, got {target:.4g}'
        )
    if cost.network(space, full_arch(space)) <= target:
        return full_arch(space)
    for _ in range(40):
        middle = (low + high) / 2
        if cost.network(space, _thinned(space, middle)) <= target:
            low = middle
        else:
            high = middle
    return _thinned(space, low)


def _thinned(space: SearchSpace, share: float) -> list[BlockArch]:
    return [
        BlockArch(
            block.kernels,
            tuple(max(int(share * count), 1) for count in block.channels),
            max(int(share * block.tokens), 1) if block.tokens else 0,
        )
        for block in full_arch(space)
    ]
