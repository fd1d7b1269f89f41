"""Deciding what a search removes, and removing it everywhere at once.

Decisions are plain data (:class:`Masks`), so that one process can take them for all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from ..models.backbones import HRNASNet
from ..models.backbones.hrnas_arch import BlockArch
from ..models.layers import Cut, SearchingBlock
from ..models.layers.surgery import select
from .costs import THRESHOLD, CostModel


@dataclass(frozen=True)
class BlockMask:
    """What stays of a block.

    Attributes:
        channels: Per kernel size that is left, ``(n,)``, true for what stays.
        tokens: ``(n,)``; None where there is no transformer.
    """

    channels: tuple[Tensor, ...]
    tokens: Tensor | None

    def groups(self) -> Iterator[Tensor]:
        """The masks of the kernel sizes, then that of the tokens if there is one."""
        yield from self.channels
        if self.tokens is not None:
            yield self.tokens

    def arch(self, kernels: Sequence[int]) -> BlockArch:
        """The architecture that the block will have."""
        left = [(k, int(m.sum())) for k, m in zip(kernels, self.channels, strict=True)]
        left = [(kernel, count) for kernel, count in left if count]
        tokens = 0 if self.tokens is None else int(self.tokens.sum())
        return BlockArch(tuple(k for k, _ in left), tuple(n for _, n in left), tokens)


Masks = list[BlockMask]


def decide(
    net: HRNASNet,
    cost: CostModel,
    *,
    averaged: HRNASNet | None = None,
    threshold: float = THRESHOLD,
    cap: float = math.inf,
    floor: float = 0,
    tokens: bool = True,
) -> Masks:
    """Choose what stays, a mask per block: the least important leaves first.

    A channel or token leaves if it is dead, that is, if both its importance and its
    averaged one are at most ``threshold``; and beyond that as long as the network costs
    more than ``cap``. Nothing leaves that would take the cost below ``floor``, nor
    tokens, which changes the function, without ``tokens``.

    Where engines are only fast at multiples of some width, hidden channels leave in
    bundles of ``cost.multiple``.
    """
    nets = [net] if averaged is None else [net, averaged]
    blocks = [block for _, block in net.named_blocks()]
    # Per block and group, the larger of an importance and its averaged one.
    scores = [
        [
            torch.stack([gamma.detach().abs() for gamma in group]).amax(0).cpu()
            for group in zip(*(block.importances() for block in same), strict=True)
        ]
        for same in zip(*([b for _, b in n.named_blocks()] for n in nets), strict=True)
    ]
    masks = [_all_true(*pair) for pair in zip(blocks, scores, strict=True)]
    candidates = [
        (score, b, g, bundle)
        for b, block_scores in enumerate(scores)
        for g, group_scores in enumerate(block_scores)
        for score, bundle in _bundles(
            group_scores, cost.multiple if g < len(blocks[b].ops) else 1
        )
    ]
    groups = [list(mask.groups()) for mask in masks]
    total = cost.network(net.space, net.arch)
    # In the importances' own precision, so that 0.001 is not above 0.001.
    threshold = float(torch.tensor(threshold))
    for score, b, g, bundle in sorted(candidates):
        if score > threshold and total <= cap:
            break
        place, block, group = net.places[b], blocks[b], groups[b][g]
        if g < len(block.ops):
            part = partial(cost.op, place, block.kernels[g])
        elif tokens:
            part = partial(cost.transformer, place)
        else:
            continue
        count = int(group.sum())
        saving = part(count) - part(count - len(bundle))
        if total - saving >= floor:
            group[bundle] = False
            total -= saving
    return masks


def _bundles(scores: Tensor, multiple: int) -> Iterator[tuple[float, list[int]]]:
    """Indices that leave together, least important first, with their largest score.

    Whatever number of bundles leaves, a multiple of ``multiple`` or nothing stays; the
    first bundle takes what is over now.
    """
    order = scores.argsort(stable=True).tolist()
    start = 0
    end = len(order) % multiple or multiple
    while start < len(order):
        bundle = order[start:end]
        yield float(scores[bundle[-1]]), bundle
        start, end = end, end + multiple


def _all_true(block: SearchingBlock, scores: Sequence[Tensor]) -> BlockMask:
    full = [torch.ones(len(group), dtype=torch.bool) for group in scores]
    ops = len(block.ops)
    return BlockMask(tuple(full[:ops]), full[ops] if full[ops:] else None)


def planned_arch(net: HRNASNet, masks: Masks) -> list[BlockArch]:
    """The architecture that masks lead to."""
    blocks = zip(net.named_blocks(), masks, strict=True)
    return [mask.arch(block.kernels) for (_, block), mask in blocks]


def shrink(net: HRNASNet, masks: Masks) -> list[Cut]:
    """Remove in place what masks do not keep; the cuts are for :func:`follow`."""
    cuts: list[Cut] = []
    device = next(net.parameters()).device
    for (_, block), mask in zip(net.named_blocks(), masks, strict=True):
        channels = [channel.to(device) for channel in mask.channels]
        tokens = None if mask.tokens is None else mask.tokens.to(device)
        cuts += block.cut(channels, tokens)
    return cuts


def follow(optimizer: torch.optim.Optimizer, cuts: Iterable[Cut]) -> None:
    """Cut the state of an optimizer as its parameters were cut.

    Every state tensor with the shape that a parameter had is cut along (momentum,
    second moments); others (step counters) stay. Parameters that left the model leave
    their group; a group may be left empty, so that the groups' number never changes.
    """
    for cut in cuts:
        if cut.keep is None:
            discard(optimizer, [cut.parameter])
            continue
        state = optimizer.state.get(cut.parameter, {})
        for name, value in state.items():
            if isinstance(value, Tensor) and value.ndim == cut.parameter.ndim:
                state[name] = select(value, cut.dim, cut.keep)


def discard(
    optimizer: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]
) -> None:
    """Remove parameters from an optimizer, with their state."""
    gone = {id(parameter) for parameter in parameters}
    for group in optimizer.param_groups:
        for parameter in group['params']:
            if id(parameter) in gone:
                optimizer.state.pop(parameter, None)
        group['params'] = [p for p in group['params'] if id(p) not in gone]
