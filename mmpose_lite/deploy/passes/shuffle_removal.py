"""Channel shuffles removed: permutations carried into the weights downstream.

A shuffle is a fixed permutation. Instead of moving channels, their numbers are moved:
``labels`` gives for every slot of a map the number of the channel that lies in it, or
``PASS`` where the slot is empty: always zero, there to fill a block of an engine's.
Blocks change a run of slots where it lies. The sums of fusion layers agree on one
order, which all that a convolution writes takes without cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...models.backbones.hr_base import HRBackbone, IterativeHead, Stem
from ...models.layers import ParallelSUSA, PerBranch, ShuffleUnit
from .attention import AxisAttention
from .ccw import CCWOnHalves, MergedCCW, Product
from .fusion_layers import NestedFusionLayers
from .modules import (
    PASS,
    depthwise_order,
    filled,
    joined,
    read_order,
    replace_modules,
    split_activation,
    write_order,
)

CHANNEL_LAYOUTS = ('runs', 'full', 'blocks')
Slots = tuple[int, int]  # the first of a run, and the one after its last


class Reorder(nn.Module):
    """Channels in another order; slot p gets slot ``index[p]`` of ``width`` ones."""

    def __init__(self, index: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer('index', index)
        self.width = width

    def forward(self, x: Tensor) -> Tensor:
        """Copy the channels."""
        return x.index_select(1, self.index)


def _reorder(labels: Tensor, wanted: Tensor) -> nn.Module:
    """Module that turns a map with ``labels`` into one with ``wanted`` ones."""
    if torch.equal(labels, wanted):
        return nn.Identity()
    slots = torch.empty_like(labels)
    slots[labels[labels != PASS]] = (labels != PASS).nonzero().flatten()
    return Reorder(slots[wanted], len(labels))


def _moves(labels: Sequence[Tensor], wanted: Sequence[Tensor]) -> list[nn.Module]:
    """Modules that bring maps into the wanted orders, if they are in others."""
    moves = [_reorder(*pair) for pair in zip(labels, wanted, strict=True)]
    same = all(isinstance(move, nn.Identity) for move in moves)
    return [] if same else [PerBranch(moves)]


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

    Channels are sorted by what changes them: nothing, the second, both, the first.
    """
    labels = torch.arange(channels)
    first = labels >= channels // 2
    second = (shuffled(labels) >= channels // 2) & (blocks > 1)
    rank = torch.where(first, 3 - second.long(), second.long())
    return rank.argsort(stable=True)


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
    """A transform of the run ``slots[i]`` of map i's channels; the other ones stay."""

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
        first, second = channels < half, channels >= half
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
    """One transform per map, which may end in a gate that is yet to be multiplied."""

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
            for k, step in enumerate(self.chains[i]):
                self.chains[i][k], order = _place_step(step, order)
            left.append(order)
        return left


def _place_on_slots(
    transform: MergedCCW | PerMap, labels: Sequence[Tensor], whole: bool
) -> tuple[OnSlots, list[Tensor]]:
    """A transform of changed halves, or of ``whole`` maps, and the labels after it."""
    slots, channels = [], []
    for order in labels:
        half = width(order) // 2
        changed = (order >= half).nonzero().flatten()
        run = (0, len(order)) if whole else (int(changed[0]), int(changed[-1]) + 1)
        slots.append(run)
        channels.append((order[slice(*run)] - half).clamp(min=PASS))
    after = []
    for order, run, now in zip(labels, slots, transform.place(channels), strict=True):
        order = order.clone()
        order[slice(*run)][now >= 0] = now[now >= 0] + width(order) // 2
        after.append(shuffled(order))
    return OnSlots(transform, slots), after


class OptimizedHRNet(nn.Module):
    """The skeleton of an optimized network; without a head it returns all maps."""

    def __init__(
        self,
        stem: Stem,
        transitions: Sequence[nn.ModuleList],
        stages: Sequence[nn.Sequential],
        head: nn.Module | None,
    ) -> None:
        super().__init__()
        self.stem = ConcatenatedStem(stem)
        self.transitions = nn.ModuleList(transitions)
        self.stages = nn.ModuleList(stages)
        self.head = head

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image to feature maps."""
        feats = [self.stem(x)]
        for transition, stage in zip(self.transitions, self.stages, strict=True):
            last = len(feats) - 1
            feats = [step(feats[min(j, last)]) for j, step in enumerate(transition)]
            feats = stage(feats)
        return tuple(feats) if self.head is None else (self.head(feats),)


class ConcatenatedStem(nn.Module):
    """The stem with its two branches one after the other."""

    def __init__(self, stem: Stem) -> None:
        super().__init__()
        self.half = split_activation(stem.conv1)[0].out_channels // 2
        self.conv1 = stem.conv1
        self.branch1 = stem.branch1
        self.branch2 = nn.Sequential(*(getattr(stem, n) for n in stem.branch_names))

    def forward(self, x: Tensor) -> Tensor:
        """Image to the stride-4 map."""
        first, second = self.conv1(x).split(self.half, 1)
        return torch.cat((self.branch1(first), self.branch2(second)), 1)


class StaticHead(nn.Module):
    """The iterative head for maps with ``labels``; its output is in published order."""

    def __init__(self, head: IterativeHead, labels: Sequence[Tensor]) -> None:
        super().__init__()
        orders = pairwise([*reversed(labels), torch.arange(width(labels[0]))])
        self.projects = nn.ModuleList(
            _carry(nn.Sequential(p.depthwise_conv, p.pointwise_conv), *order)
            for p, order in zip(head.projects, orders, strict=True)
        )

    def forward(self, feats: list[Tensor]) -> Tensor:
        """Add each map to the up-sampled result of the ones below it."""
        result = self.projects[0](feats[-1])
        for project, feat in zip(self.projects[1:], feats[-2::-1], strict=True):
            lifted = F.interpolate(
                result, scale_factor=2.0, mode='bilinear', align_corners=True
            )
            result = project(lifted + feat)
        return result


def _carry(path: nn.Module, labels: Tensor, wanted: Tensor) -> nn.Module:
    """What replaces a path, of depthwise and 1x1 convolutions, in other orders."""
    convs = [m for m in path.modules() if isinstance(m, nn.Conv2d)]
    replaced: dict[nn.Module, nn.Module] = {}
    for conv in convs:
        if conv.groups > 1:
            replaced[conv] = depthwise_order(conv, labels)
        else:
            labels, last = torch.arange(conv.out_channels), labels
            labels = wanted if conv is convs[-1] else labels
            replaced[conv] = write_order(read_order(conv, last), labels)
    assert torch.equal(labels, wanted)
    return replace_modules(path, {nn.Conv2d: lambda conv: replaced[conv]})


def _transforms(layers: nn.Module) -> list[MergedCCW | PerMap]:
    """What the blocks of a module do to the changed halves, block by block."""
    if isinstance(layers, PerBranch):
        assert all(isinstance(unit, ShuffleUnit) for chain in layers for unit in chain)
        blocks = zip(*layers, strict=True)
        return [PerMap([unit.branch2 for unit in units]) for units in blocks]
    assert all(isinstance(block, CCWOnHalves) for block in layers)
    return [block.transform for block in layers]


def _relabel_blocks(
    layers: nn.Module, labels: list[Tensor], runs: bool
) -> tuple[nn.Sequential, list[Tensor]]:
    """A module's blocks on slots, and the labels after them."""
    transforms = _transforms(layers)
    steps: list[nn.Module] = []
    for number, transform in enumerate(transforms):
        if runs and number % 2 == 0:
            blocks = min(2, len(transforms) - number)
            wanted = [entry_order(len(order), blocks) for order in labels]
            steps += _moves(labels, wanted)
            labels = wanted
        step, labels = _place_on_slots(transform, labels, whole=not runs)
        steps.append(step)
    return nn.Sequential(*steps), labels


def _relabel_fusion(
    fusion: NestedFusionLayers, labels: list[Tensor], wanted: Sequence[Tensor]
) -> None:
    """Let fusion layers read maps with ``labels`` and write them as ``wanted``."""
    for k, conv in enumerate(fusion.lifts, 1):
        targets = joined(wanted[:k], fusion.widths[:k])
        fusion.lifts[k - 1] = write_order(read_order(conv, labels[k]), targets)
    # The paths from the highest resolution read its sum, not its map.
    sources = [wanted[0], *labels[1:]]
    for i, paths in enumerate(fusion.downs, 1):
        for j, path in enumerate(paths):
            paths[j] = _carry(path, sources[j], wanted[i])
    fusion.widths = [len(order) for order in wanted]
    moves = zip(labels, wanted, strict=True)
    fusion.reorders = nn.ModuleList(_reorder(*move) for move in moves)


def _relabel_transition(
    transition: nn.ModuleList, labels: list[Tensor], entry: Sequence[Tensor]
) -> list[Tensor]:
    """Let a transition write maps as ``entry``, but those that pass; what it leaves."""
    after = []
    for j, step in enumerate(transition):
        before = labels[min(j, len(labels) - 1)]
        same = isinstance(step, nn.Identity)
        after.append(before if same else entry[j])
        transition[j] = step if same else _carry(step, before, entry[j])
    return after


def _relabel_stage(
    modules: nn.Sequential,
    labels: list[Tensor],
    entry: Sequence[Tensor] | None,
    leave: Sequence[Tensor] | None,
) -> list[Tensor]:
    """Let a stage work on slots from ``entry`` to ``leave``; the labels of its maps."""
    for module in modules:
        runs = entry is not None
        module.layers, labels = _relabel_blocks(module.layers, labels, runs)
        if isinstance(module.fusion, NestedFusionLayers):
            wanted = (leave if module is modules[-1] else entry) or labels
            _relabel_fusion(module.fusion, labels, wanted)
            labels = list(wanted)
    return labels


def _relabel(net: HRBackbone, layout: str) -> OptimizedHRNet:
    """The whole skeleton, from the stem on."""
    channels, blocks = net.arch.stem_channels, min(2, net.arch.num_blocks)
    labels = [torch.cat((torch.arange(0, channels, 2), torch.arange(1, channels, 2)))]
    stages = [net.get_submodule(f'stage{t}') for t in range(len(net.arch.channels))]
    transitions = [net.get_submodule(f'transition{t}') for t in range(len(stages))]
    for widths, transition, stage in zip(
        net.arch.channels, transitions, stages, strict=True
    ):
        natural = [torch.arange(w) for w in widths]
        runs = layout == 'runs' or isinstance(_transforms(stage[0].layers)[0], PerMap)
        entry = [entry_order(w, blocks) for w in widths] if runs else None
        free = natural if layout == 'full' else [filled(order) for order in natural]
        labels = _relabel_transition(transition, labels, entry or free)
        leave = entry
        if stage is stages[-1]:
            leave = natural if net.head_layer is None else None
        labels = _relabel_stage(stage, labels, entry, leave)
    if net.head_layer is not None:
        head = StaticHead(net.head_layer, labels)
        return OptimizedHRNet(net.stem, transitions, stages, head)
    # A last stage of one resolution has nothing that restores the order.
    stages[-1].extend(_moves(labels, [torch.arange(width(one)) for one in labels]))
    return OptimizedHRNet(net.stem, transitions, stages, None)


def remove_shuffles(model: nn.Module, layout: str = 'runs') -> nn.Module:
    """Carry the permutations of all channel shuffles into the weights.

    Args:
        model: Network after :func:`nest_upsampling` and :func:`merge_ccw`.
        layout: ``'runs'`` brings the channels that a block changes next to each other,
            by one copy of each map per module; ``'full'`` never moves any: the
            convolutions and gates of a block cover all channels, with identity kernels
            and gates of one where a channel passes; ``'blocks'`` also fills maps with
            empty channels up to multiples of 16. Transforms other than CCW take
            ``'runs'`` in any case: some mix channels, and the products of
            attention would be twice as many.

    Raises:
        ValueError: If ``layout`` is unknown.
    """
    if layout not in CHANNEL_LAYOUTS:
        raise ValueError(f'layout must be one of {CHANNEL_LAYOUTS}, got {layout!r}')
    return replace_modules(model, {HRBackbone: partial(_relabel, layout=layout)})
