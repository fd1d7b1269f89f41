"""Blocks that change a run of channels where it lies, and shuffle nothing.

A shuffle is a fixed permutation. Instead of moving channels, their numbers are moved:
``labels`` gives for every slot of a map the number of the channel that lies in it, or
``PASS`` where the slot is empty: always zero, there to fill a block of an engine's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...models.layers import ParallelSUSA
from .attention import AxisAttention
from .ccw import MergedCCW, Product
from .modules import (
    PASS,
    convolution,
    depthwise_order,
    read_order,
    replace_modules,
    write_order,
)

Slots = tuple[int, int]
"""First slot of a run, and the one after its last."""


class Reorder(nn.Module):
    """Channels in another order; slot p gets slot ``index[p]`` of ``width`` ones."""

    def __init__(self, index: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer('index', index)
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Copy the channels."""
        return x.index_select(1, self.index)


def reorder(labels: Tensor, wanted: Tensor) -> nn.Module:
    """Module that turns a map with ``labels`` into one with ``wanted`` ones."""
    if torch.equal(labels, wanted):
        return nn.Identity()
    slots = torch.empty_like(labels)
    slots[labels[labels != PASS]] = (labels != PASS).nonzero().flatten()
    return Reorder(slots[wanted], len(labels))


def convolve_reorders(model: nn.Module) -> nn.Module:
    """Reorder channels by convolutions with weights of zero and one, for OpenVINO.

    It lays maps out anew for gathers, which takes longer than such a convolution.
    """
    some = next(model.parameters(), torch.empty(0))

    def convolved(move: Reorder) -> nn.Conv2d:
        rows, columns = len(move.index), move.width
        kernel = some.new_zeros(rows, columns, 1, 1)
        kernel[torch.arange(rows), move.index] = 1
        return convolution(nn.Conv2d(columns, rows, 1, device='meta'), kernel, None)

    return replace_modules(model, {Reorder: convolved})


def width(labels: Tensor) -> int:
    """Channels of a map, empty slots not counted."""
    return int((labels != PASS).sum())


def shuffled(labels: Tensor) -> Tensor:
    """Labels after channels of two halves were laid alternately: 0, half, 1, …."""
    half = width(labels) // 2
    moved = torch.where(labels < half, 2 * labels, 2 * (labels - half) + 1)
    return torch.where(labels == PASS, PASS, moved)


def entry_order(channels: int, blocks: int) -> Tensor:
    """Labels with which the next blocks, two at most, each change a run of slots.

    Channels are sorted by what happens to them: nothing, only the second block, both,
    only the first.
    """
    labels = torch.arange(channels)
    first = labels >= channels // 2
    second = (shuffled(labels) >= channels // 2) & (blocks > 1)
    rank = torch.where(first, 3 - second.long(), second.long())
    return rank.argsort(stable=True)


def _changed(labels: Tensor) -> Slots:
    """The run of slots that a block changes."""
    slots = (labels >= width(labels) // 2).nonzero().flatten()
    return int(slots[0]), int(slots[-1]) + 1


def _put(x: Tensor, product: Product, slots: Slots, in_place: bool) -> Tensor:
    """A map with a new run of channels; ``in_place`` overwrites the old ones."""
    start, stop = slots
    value, gate = product
    if in_place and stop - start < x.shape[1]:
        run = x[:, start:stop]
        run.copy_(value) if gate is None else torch.mul(value, gate, out=run)
        return x
    pieces = [x[:, :start], value if gate is None else value * gate, x[:, stop:]]
    pieces = [piece for piece in pieces if piece.shape[1]]
    return torch.cat(pieces, 1) if len(pieces) > 1 else pieces[0]


class OnSlots(nn.Module):
    """A transform of a run of channels of every map; the other channels stay.

    Args:
        transform: From the runs of all maps to as many products.
        slots: Of each run.
    """

    in_place = False

    def __init__(self, transform: nn.Module, slots: Sequence[Slots]) -> None:
        super().__init__()
        self.transform = transform
        self.slots = list(slots)

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Change the runs."""
        runs = [
            x if b - a == x.shape[1] else x[:, a:b]
            for x, (a, b) in zip(feats, self.slots, strict=True)
        ]
        products = zip(feats, self.transform(runs), self.slots, strict=True)
        return [_put(*product, self.in_place) for product in products]


class CrossAttention(nn.Module):
    """Rows gated for half of the channels and columns for the others.

    Both gates cover all channels, the one that does not apply being one, so that it
    does not matter in which slots the halves lie.
    """

    def __init__(self, rows: AxisAttention, columns: AxisAttention) -> None:
        super().__init__()
        self.rows = rows
        self.columns = columns

    def product(self, x: Tensor) -> Product:
        """The map with rows gated, and the gate of its columns."""
        columns = self.columns.gate(x)
        return x * self.rows.gate(x), columns

    def forward(self, x: Tensor) -> Tensor:
        """Gate rows and columns."""
        value, gate = self.product(x)
        return value * gate

    def place(self, channels: Tensor) -> Tensor:
        """Put channel ``channels[p]`` into slot p; returns the order after it."""
        half = self.rows.mix.out_features
        first = (channels >= 0) & (channels < half)
        second = channels >= half
        self.rows.place(torch.where(first, channels, PASS))
        self.columns.place(torch.where(second, channels - half, PASS))
        return shuffled(channels)


def _place_step(step: nn.Module, channels: Tensor) -> tuple[nn.Module, Tensor]:
    """A step of a transform on another order, and the order that it leaves."""
    if isinstance(step, ParallelSUSA):
        step = CrossAttention(step.hconv, step.wconv)
    if isinstance(step, (AxisAttention, CrossAttention)):
        return step, step.place(channels)
    if isinstance(step, nn.Sequential):
        conv, after = _place_step(step[0], channels)
        return nn.Sequential(conv, *step[1:]), after
    assert isinstance(step, nn.Conv2d)
    if step.groups > 1:
        return depthwise_order(step, channels), channels
    # A dense convolution could leave any order; this one keeps that of its input.
    return write_order(read_order(step, channels), channels), channels


class PerMap(nn.Module):
    """One transform per map, which may end in a gate of its own.

    Shape:
        - Input: list of maps, one per transform.
        - Output: list of maps of the same shapes, each with a gate yet to be
          multiplied, or None.
    """

    def __init__(self, chains: Sequence[nn.Sequential]) -> None:
        super().__init__()
        self.chains = nn.ModuleList(chains)

    def forward(self, runs: Sequence[Tensor]) -> list[Product]:
        """Transform i on run i."""
        products: list[Product] = []
        for chain, x in zip(self.chains, runs, strict=True):
            for step in chain[:-1]:
                x = step(x)
            last = chain[-1]
            gated = isinstance(last, (AxisAttention, CrossAttention))
            products.append(last.product(x) if gated else (last(x), None))
        return products

    def place(self, channels: Sequence[Tensor]) -> list[Tensor]:
        """Put channel ``channels[i][p]`` into slot p of map i; the orders after it."""
        left = []
        for i, order in enumerate(channels):
            steps = []
            for step in self.chains[i]:
                placed, order = _place_step(step, order)
                steps.append(placed)
            self.chains[i] = nn.Sequential(*steps)
            left.append(order)
        return left


def place_on_slots(
    transform: MergedCCW | PerMap, labels: Sequence[Tensor], whole: bool
) -> tuple[OnSlots, list[Tensor]]:
    """A transform of the changed halves where they lie, and the labels after it.

    Args:
        transform: Of the changed halves, changed in place.
        labels: Channels of every map.
        whole: Whether it covers all slots, those of other channels unchanged.
    """
    slots = [(0, len(order)) if whole else _changed(order) for order in labels]
    channels = []
    for order, (start, stop) in zip(labels, slots, strict=True):
        local = order[start:stop] - width(order) // 2  # within the changed half
        channels.append(torch.where(local < 0, PASS, local))
    after = []
    for order, run, now in zip(labels, slots, transform.place(channels), strict=True):
        order = order.clone()
        order[slice(*run)][now >= 0] = now[now >= 0] + width(order) // 2
        after.append(shuffled(order))
    return OnSlots(transform, slots), after
