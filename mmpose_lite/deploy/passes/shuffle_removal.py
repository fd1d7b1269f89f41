"""Channel shuffles removed: permutations carried into the weights downstream.

Within a module channels stay in their slots; what they are called changes (see
:mod:`.channel_slots`). The sums of fusion layers agree on one order, which all that a
convolution writes takes without cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...models.backbones.hr_base import HRBackbone, IterativeHead, Stem
from ...models.layers import PerBranch, ShuffleUnit
from .ccw import CCWOnHalves, MergedCCW
from .channel_slots import PerMap, entry_order, place_on_slots, reorder, width
from .fusion_layers import NestedFusionLayers
from .modules import (
    depthwise_order,
    filled,
    joined,
    read_order,
    replace_modules,
    split_activation,
    write_order,
)

CHANNEL_LAYOUTS = ('runs', 'full', 'blocks')


class OptimizedHRNet(nn.Module):
    """The skeleton of an optimized network; without a head it returns all maps."""

    def __init__(
        self,
        stem: nn.Module,
        transitions: Sequence[nn.ModuleList],
        stages: Sequence[nn.Sequential],
        head: nn.Module | None,
    ) -> None:
        super().__init__()
        self.stem = stem
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


def carry(path: nn.Module, labels: Tensor, wanted: Tensor) -> nn.Module:
    """Let a path read the order ``labels`` and write ``wanted``; what replaces it.

    It is of nested sequences of depthwise and 1x1 convolutions and activations.
    """
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


def _moves(labels: Sequence[Tensor], wanted: Sequence[Tensor]) -> list[nn.Module]:
    """Modules that bring maps into the wanted orders, if they are in others."""
    moves = [reorder(*pair) for pair in zip(labels, wanted, strict=True)]
    same = all(isinstance(move, nn.Identity) for move in moves)
    return [] if same else [PerBranch(moves)]


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
        step, labels = place_on_slots(transform, labels, whole=not runs)
        steps.append(step)
    return nn.Sequential(*steps), labels


def _relabel_fusion(
    fusion: NestedFusionLayers, labels: list[Tensor], wanted: list[Tensor]
) -> None:
    """Let fusion layers read maps with ``labels`` and write them as ``wanted``."""
    for k, conv in enumerate(fusion.lifts, 1):
        targets = joined(wanted[:k], fusion.widths[:k])
        fusion.lifts[k - 1] = write_order(read_order(conv, labels[k]), targets)
    # The paths from the highest resolution read its sum, not its map.
    sources = [wanted[0], *labels[1:]]
    for i, paths in enumerate(fusion.downs, 1):
        for j, path in enumerate(paths):
            paths[j] = carry(path, sources[j], wanted[i])
    fusion.widths = [len(order) for order in wanted]
    moves = zip(labels, wanted, strict=True)
    fusion.reorders = nn.ModuleList(reorder(*move) for move in moves)


class StaticHead(nn.Module):
    """The iterative head for maps of which each is half as large as the next.

    ``projects`` follow each sum, lowest resolution first.
    """

    def __init__(self, projects: Sequence[nn.Module]) -> None:
        super().__init__()
        self.projects = nn.ModuleList(projects)

    def forward(self, feats: list[Tensor]) -> Tensor:
        """Add each map to the up-sampled result of the ones below it."""
        result = self.projects[0](feats[-1])
        for project, feat in zip(self.projects[1:], feats[-2::-1], strict=True):
            lifted = F.interpolate(
                result, scale_factor=2.0, mode='bilinear', align_corners=True
            )
            result = project(lifted + feat)
        return result


def _relabel_head(head: IterativeHead, labels: list[Tensor]) -> StaticHead:
    """The head on maps with ``labels``; its output is in the published order."""
    orders = [*reversed(labels), torch.arange(width(labels[0]))]
    projects = []
    for q, project in enumerate(head.projects):
        steps = nn.Sequential(project.depthwise_conv, project.pointwise_conv)
        projects.append(carry(steps, orders[q], orders[q + 1]))
    return StaticHead(projects)


def _relabel_transition(
    transition: nn.ModuleList, labels: list[Tensor], entry: Sequence[Tensor]
) -> tuple[nn.ModuleList, list[Tensor]]:
    """A transition that writes maps in the orders of ``entry``, and those it leaves.

    A map that passes it unchanged keeps its order.
    """
    last, steps, after = len(labels) - 1, [], []
    for j, step in enumerate(transition):
        before = labels[min(j, last)]
        same = isinstance(step, nn.Identity)
        steps.append(step if same else carry(step, before, entry[j]))
        after.append(before if same else entry[j])
    return nn.ModuleList(steps), after


def _relabel_stage(
    modules: nn.Sequential,
    labels: list[Tensor],
    entry: Sequence[Tensor] | None,
    leave: Sequence[Tensor] | None,
) -> list[Tensor]:
    """The modules of a stage, changed to work on slots; the labels of its maps.

    The blocks of every module want their maps in the order ``entry``, the last module
    leaves them in ``leave``; None is any.
    """
    for number, module in enumerate(modules):
        runs = entry is not None
        module.layers, labels = _relabel_blocks(module.layers, labels, runs)
        if isinstance(module.fusion, NestedFusionLayers):
            wanted = leave if number == len(modules) - 1 else entry
            wanted = labels if wanted is None else list(wanted)
            _relabel_fusion(module.fusion, labels, wanted)
            labels = wanted
    return labels


def _relabel(net: HRBackbone, layout: str) -> OptimizedHRNet:
    """The whole skeleton, from the stem on."""
    channels, blocks = net.arch.stem_channels, min(2, net.arch.num_blocks)
    labels = [torch.cat((torch.arange(0, channels, 2), torch.arange(1, channels, 2)))]
    transitions, stages = [], []
    for t, widths in enumerate(net.arch.channels):
        modules = net.get_submodule(f'stage{t}')
        natural = [torch.arange(w) for w in widths]
        entry = None
        if layout == 'runs' or isinstance(_transforms(modules[0].layers)[0], PerMap):
            entry = [entry_order(w, blocks) for w in widths]
        transition, labels = _relabel_transition(
            net.get_submodule(f'transition{t}'),
            labels,
            entry or (natural if layout == 'full' else list(map(filled, natural))),
        )
        leave = entry
        if t == len(net.arch.channels) - 1:
            leave = natural if net.head_layer is None else None
        labels = _relabel_stage(modules, labels, entry, leave)
        transitions.append(transition)
        stages.append(modules)
    head = None if net.head_layer is None else _relabel_head(net.head_layer, labels)
    if head is None:  # a last stage of one resolution has nothing that restores it
        natural = [torch.arange(width(order)) for order in labels]
        stages[-1].extend(_moves(labels, natural))
    return OptimizedHRNet(ConcatenatedStem(net.stem), transitions, stages, head)


def remove_shuffles(model: nn.Module, layout: str = 'runs') -> nn.Module:
    """Carry the permutations of all channel shuffles into the weights.

    Args:
        model: A network after :func:`nest_upsampling` and :func:`merge_ccw`.
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
