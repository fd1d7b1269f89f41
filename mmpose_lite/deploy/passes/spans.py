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
from .weighting import MergedWeighting, Product
from .weights import PASS, depthwise_order, read_order, write_order


class Reorder(nn.Module):
    """Channels in another order; slot p gets slot ``index[p]`` of the input.

    Args:
        index: Slots of the input.
        width: How many that has.
    """

    def __init__(self, index: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer('index', index)
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Copy the channels."""
        return x.index_select(1, self.index)


def reorder(labels: Tensor, wanted: Tensor) -> nn.Module:
    """What turns a map with ``labels`` into one with ``wanted`` ones."""
    if torch.equal(labels, wanted):
        return nn.Identity()
    slots = torch.empty_like(labels)
    slots[labels[labels != PASS]] = (labels != PASS).nonzero().flatten()
    return Reorder(slots[wanted], len(labels))


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
    second = (
        shuffled(labels) >= channels // 2 if blocks > 1 else torch.zeros_like(first)
    )
    rank = torch.where(first, 3 - second.long(), second.long())
    return rank.argsort(stable=True)


def changed_span(labels: Tensor) -> tuple[int, int]:
    """First slot that a block changes, and the one after the last."""
    slots = (labels >= width(labels) // 2).nonzero().flatten()
    return int(slots[0]), int(slots[-1]) + 1


def changed_channels(labels: Tensor, span: tuple[int, int]) -> Tensor:
    """For every slot of a span the channel within the changed half, or -1."""
    local = labels[slice(*span)] - width(labels) // 2
    return torch.where(local < 0, PASS, local)


def put(x: Tensor, product: Product, span: tuple[int, int], in_place: bool) -> Tensor:
    """A map with a new run of channels; ``in_place`` overwrites the old ones."""
    start, stop = span
    value, gate = product
    if stop - start == x.shape[1]:
        return value if gate is None else value * gate
    if in_place:
        run = x[:, start:stop]
        run.copy_(value) if gate is None else torch.mul(value, gate, out=run)
        return x
    pieces = [x[:, :start], value if gate is None else value * gate, x[:, stop:]]
    return torch.cat([piece for piece in pieces if piece.shape[1]], 1)


class OnSpans(nn.Module):
    """A transform of a run of channels of every map; the other channels stay.

    Args:
        transform: From the runs of all maps to as many products.
        spans: First slot of each run, and the one after its last.
    """

    in_place = False

    def __init__(self, transform: nn.Module, spans: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.transform = transform
        self.spans = list(spans)

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Change the runs."""
        runs = [
            x if b - a == x.shape[1] else x[:, a:b]
            for x, (a, b) in zip(feats, self.spans, strict=True)
        ]
        return [
            put(x, product, span, self.in_place)
            for x, product, span in zip(
                feats, self.transform(runs), self.spans, strict=True
            )
        ]


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


def place_step(step: nn.Module, channels: Tensor) -> tuple[nn.Module, Tensor]:
    """A step of a transform on another order, and the order that it leaves."""
    if isinstance(step, ParallelSUSA):
        step = CrossAttention(step.hconv, step.wconv)
    if isinstance(step, (AxisAttention, CrossAttention)):
        return step, step.place(channels)
    if isinstance(step, nn.Sequential):
        conv, after = place_step(step[0], channels)
        return nn.Sequential(conv, *step[1:]), after
    assert isinstance(step, nn.Conv2d)
    if step.groups > 1:
        return depthwise_order(step, channels), channels
    # A dense convolution could leave any order; this one keeps that of its input.
    return write_order(read_order(step, channels), channels), channels


class PerMap(nn.Module):
    """One transform per map, which may end in a gate of its own.

    Args:
        chains: Steps of each transform.

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
                placed, order = place_step(step, order)
                steps.append(placed)
            self.chains[i] = nn.Sequential(*steps)
            left.append(order)
        return left


def place_on_spans(
    transform: MergedWeighting | PerMap, labels: Sequence[Tensor], whole: bool
) -> tuple[OnSpans, list[Tensor]]:
    """A transform of the changed halves where they lie, and the labels after it.

    Args:
        transform: Of the changed halves, changed in place.
        labels: Channels of every map.
        whole: Whether it shall cover all slots, those of other channels unchanged.
    """
    spans = [(0, len(order)) if whole else changed_span(order) for order in labels]
    runs = zip(labels, spans, strict=True)
    left = transform.place([changed_channels(*run) for run in runs])
    after = []
    for order, (start, stop), now in zip(labels, spans, left, strict=True):
        order = order.clone()
        run = order[start:stop]
        run[now >= 0] = now[now >= 0] + width(order) // 2
        after.append(shuffled(order))
    return OnSpans(transform, spans), after
