"""Weights in the order in which the kernels read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .memory import ALIGNMENT, round_up

Floats = NDArray[np.float32]

VECTORS = {16: 4, 8: 2, 4: 4}
"""Lanes to the vectors of output channels that a tile may have."""
PIXELS = {16: {1: 12, 2: 12, 3: 8, 4: 6}, 8: {1: 8, 2: 6}, 4: {1: 12, 2: 8, 3: 6, 4: 6}}
"""Lanes and vectors to the pixels of a tile, so that its sums fit the registers."""


@dataclass(frozen=True)
class Block:
    """Output channels that a call computes.

    Attributes:
        channel: The first.
        lanes: Floats of a vector.
        vectors: Number of vectors.
        pixels: Pixels of a tile.
    """

    channel: int
    lanes: int
    vectors: int
    pixels: int


def blocks(width: int, lanes: int) -> list[Block]:
    """Output channels in blocks of about the same size, then what remains."""
    whole, found, channel = width // lanes, [], 0
    count = -(-whole // VECTORS[lanes])
    for i in range(count):
        vectors = whole // count + (i < whole % count)
        found.append(Block(channel, lanes, vectors, PIXELS[lanes][vectors]))
        channel += vectors * lanes
    narrow = lanes // 2
    while channel < width:
        if channel + narrow <= width:
            found.append(Block(channel, narrow, 1, PIXELS[lanes][1]))
            channel += narrow
        else:
            narrow //= 2
    return found


def as_floats(weight: Tensor) -> Floats:
    """A tensor as an array."""
    return weight.detach().cpu().float().numpy()


def pack_block(weight: Floats, bias: Floats, block: Block) -> Floats:
    """Bias and weights ``(out, in, kh, kw)`` of a block, zero beyond the last output.

    Returns:
        Bias, then for every row, column and input the weights of all its outputs.
    """
    width = block.lanes * block.vectors
    run = slice(block.channel, block.channel + width)
    parts = np.concatenate(
        (bias[None], weight.transpose(2, 3, 1, 0).reshape(-1, len(bias)))
    )[:, run]
    return np.pad(parts, ((0, 0), (0, width - parts.shape[1]))).ravel()


def pack_depthwise(weight: Floats, bias: Floats, lanes: int) -> Floats:
    """Bias, then the weights of each tap; a vector may begin with any channel."""
    parts = np.concatenate((bias[None], weight.reshape(len(bias), -1).T))
    width = parts.shape[1]
    extra = lanes if width % lanes else 0
    return parts[:, np.arange(width + extra) % width].ravel()


class Weights:
    """All weights of a network, one after the other."""

    def __init__(self) -> None:
        self.parts: list[Floats] = []
        self.size = 0

    def add(self, values: Floats) -> int:
        """Append an array; returns its first float."""
        start = self.size
        self.size += round_up(values.size, ALIGNMENT)
        values = values.astype(np.float32).ravel()
        self.parts.append(np.pad(values, (0, self.size - start - values.size)))
        return start

    def contents(self) -> bytes:
        """All weights, as they lie in memory."""
        parts = self.parts or [np.zeros(ALIGNMENT, np.float32)]
        return np.concatenate(parts).astype('<f4').tobytes()
