"""For ONNX Runtime: a network of which every large map stays in blocks of channels.

Its fast convolutions want channels in blocks of 16 (or 8), and so do its sums, products
of maps of the same size, pooling and nearest up-sampling. Splits, products with
broadcasting and convolutions of other widths take maps out of the blocks and back. So
gates become maps, whatever is split is computed apart, and widths are filled up.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .ccw import MergedCCW, gated, pooled
from .fusion_layers import NestedFusionLayers, OptimizedHRModule
from .modules import (
    BLOCK,
    convolution,
    filled,
    read_order,
    replace_modules,
    split_activation,
    write_order,
)
from .shuffle_removal import ConcatenatedStem, OnSlots, OptimizedHRNet


def _parts(conv: nn.Conv2d, widths: Sequence[int]) -> nn.ModuleList:
    """A dense convolution for each run of a convolution's outputs."""
    ends = accumulate(widths, initial=0)
    return nn.ModuleList(
        write_order(conv, torch.arange(*span)) for span in pairwise(ends)
    )


def _filled(first: nn.Conv2d, second: nn.Conv2d) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Two convolutions with a whole number of blocks of channels between them."""
    order = filled(torch.arange(first.out_channels))
    return write_order(first, order), read_order(second, order)


def _pointwise(linear: nn.Linear) -> nn.Conv2d:
    """A linear layer as a convolution of maps of one pixel."""
    return convolution(linear.weight.data[..., None, None], linear.bias.data)


def stretched(gates: Sequence[Tensor], maps: Sequence[Tensor]) -> list[Tensor]:
    """Gates of one pixel as maps of the given ones' sizes."""
    return [
        F.interpolate(gate, scale_factor=tuple(map(float, x.shape[2:])), mode='nearest')
        for gate, x in zip(gates, maps, strict=True)
    ]


class BlockedCCW(nn.Module):
    """A merged CCW, on all channels, with a convolution for the gate of each map.

    Shape:
        - Input: list of ``(B, C_i, H / 2^i, W / 2^i)``, and, if they are still to be
          multiplied with gates, those, in the size of the last map.
        - Output: maps of the same shapes, and gates ``(B, C_i, 1, 1)`` yet to be
          multiplied.
    """

    def __init__(self, ccw: MergedCCW) -> None:
        super().__init__()
        reduce, _ = split_activation(ccw.reduce)
        expand, _ = split_activation(ccw.expand)
        self.reduce, expand = _filled(reduce, expand)
        self.expand = _parts(expand, ccw.widths)
        self.filters = ccw.filters
        layers = (_pointwise(ccw.squeeze), _pointwise(ccw.excite))
        self.squeeze, excite = _filled(*layers)
        self.excite = _parts(excite, ccw.widths)

    def forward(
        self, feats: Sequence[Tensor], pending: Sequence[Tensor] | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Weight by position and filter; the gates of the means are returned."""
        small = pooled(feats)
        # A gate per channel may as well be applied to the small maps as to the large.
        if pending is not None:
            small = [x * gate for x, gate in zip(small, pending, strict=True)]
        reduced = self.reduce(torch.cat(small, 1)).relu()
        gates = [expand(reduced).sigmoid() for expand in self.expand]
        if pending is not None:
            gates = [a * b for a, b in zip(gates, pending, strict=True)]
        filtered = gated(feats, gates, self.filters)
        means = torch.cat([F.adaptive_avg_pool2d(x, 1) for x in filtered], 1)
        squeezed = self.squeeze(means).relu()
        return filtered, [excite(squeezed).sigmoid() for excite in self.excite]

    def double_first(self) -> None:
        """Let the first map be twice what it was, its gate the same."""
        self.filters[0].weight.data *= 2
        self.filters[0].bias.data *= 2
        self.squeeze.weight.data[:, : self.filters[0].out_channels] /= 2


class BlockedFusionLayers(NestedFusionLayers):
    """Nested fusion layers with a convolution and an up-sampling per pair of maps.

    The map of the highest resolution comes doubled.
    """

    def __init__(self, fusion: NestedFusionLayers) -> None:
        lifts = enumerate(fusion.lifts, 1)
        parts = nn.ModuleList(_parts(conv, fusion.widths[:k]) for k, conv in lifts)
        super().__init__(parts, fusion.downs, fusion.widths)
        self.reorders = fusion.reorders

    def arrivals(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """What each resolution but the lowest receives from all below it."""
        arrived: list[Tensor] = []
        passing: list[Tensor] = []
        for lifts, feat in zip(self.lifts[::-1], feats[:0:-1], strict=True):
            lifted = [lift(feat) for lift in lifts]
            if passing:
                lifted = [a + b for a, b in zip(lifted, passing, strict=True)]
            *passing, here = (
                F.interpolate(x, scale_factor=2.0, mode='nearest') for x in lifted
            )
            arrived.insert(0, here)
        return arrived

    def top(self, arrived: Tensor, own: Tensor) -> Tensor:
        """The sum of the highest resolution."""
        return arrived + own


class BlockedHRModule(nn.Module):
    """A module, of CCW on all channels, with gates multiplied as late as may be."""

    def __init__(self, module: OptimizedHRModule) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            BlockedCCW(step.transform) for step in module.layers
        )
        self.fusion = module.fusion
        if isinstance(module.fusion, NestedFusionLayers):
            self.fusion = BlockedFusionLayers(module.fusion)
            self.blocks[-1].double_first()

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Blocks and fusion layers."""
        pending = None
        for block in self.blocks:
            feats, gates = block(feats, pending)
            pending = stretched(gates, [feats[-1]] * len(feats))
        gates = stretched(gates, feats)
        feats = [feat * gate for feat, gate in zip(feats, gates, strict=True)]
        return self.fusion(feats)


class BlockedStem(nn.Module):
    """The stem with a convolution of the image for each of its branches."""

    def __init__(self, stem: ConcatenatedStem) -> None:
        super().__init__()
        conv, activation = split_activation(stem.conv1)
        first, second = _parts(conv, [stem.half, conv.out_channels - stem.half])
        self.branch1 = nn.Sequential(first, *activation, stem.branch1)
        self.branch2 = nn.Sequential(second, *activation, stem.branch2)

    def forward(self, x: Tensor) -> Tensor:
        """Image to the stride-4 map."""
        return torch.cat((self.branch1(x), self.branch2(x)), 1)


def _is_whole(stage: nn.Module) -> bool:
    """Whether a module's steps are CCW of whole blocks of channels."""
    return isinstance(stage, OptimizedHRModule) and all(
        isinstance(step, OnSlots)
        and isinstance(step.transform, MergedCCW)
        and step.slots == [(0, width) for width in step.transform.widths]
        and not any(width % BLOCK for width in step.transform.widths)
        for step in stage.layers
    )


def _blocked(net: OptimizedHRNet) -> OptimizedHRNet:
    if not all(_is_whole(module) for stage in net.stages for module in stage):
        return net
    net.stem = BlockedStem(net.stem)
    return replace_modules(net, {OptimizedHRModule: BlockedHRModule})


def stay_in_blocks(model: nn.Module) -> nn.Module:
    """Let no operator between large maps take them out of blocks of channels.

    Networks of other layouts than ``'blocks'``, and with other transforms than
    CCW, stay as they are.
    """
    return replace_modules(model, {OptimizedHRNet: _blocked})
