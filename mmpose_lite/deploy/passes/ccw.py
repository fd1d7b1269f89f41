"""Conditional channel weighting (CCW) with static sizes and one gate network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...models.layers import ConditionalChannelWeighting, halves, interleave
from .modules import (
    OPEN,
    depthwise_order,
    joined,
    linear_layer,
    read_order,
    replace_modules,
    split_activation,
    take,
    write_order,
)

# A map and what it is still to be multiplied with, if anything.
Product = tuple[Tensor, Tensor | None]


def pooled(feats: Sequence[Tensor]) -> list[Tensor]:
    """Maps, each half as large as the one before, in the size of the last."""
    last = len(feats) - 1
    means = [F.avg_pool2d(x, 2 ** (last - i)) for i, x in enumerate(feats[:-1])]
    return [*means, feats[-1]]


def gated(
    feats: Sequence[Tensor], gates: Sequence[Tensor], filters: nn.ModuleList
) -> list[Tensor]:
    """Maps of halving sizes times gates of the last one's size, then filtered."""
    filtered = []
    for i, (feat, gate) in enumerate(zip(feats, gates, strict=True), 1):
        if i < len(feats):
            scale = 2.0 ** (len(feats) - i)
            gate = F.interpolate(gate, scale_factor=scale, mode='nearest')
        filtered.append(filters[i - 1](feat * gate))
    return filtered


def _block_diagonal(steps: Sequence[nn.Module]) -> nn.Linear:
    """One linear layer for several 1x1 convolutions of vectors that lie in a row."""
    convs = [split_activation(step)[0] for step in steps]
    weights = [conv.weight.data.flatten(1) for conv in convs]
    biases = torch.cat([conv.bias.data for conv in convs])
    return linear_layer(torch.block_diag(*weights), biases)


class MergedCCW(nn.Module):
    """The weighting of the changed channels of all resolutions.

    The spatial weightings of all resolutions, small networks on the maps' means, are
    block-diagonal layers of one network. Maps are ``(B, widths[i], H / 2^i, W / 2^i)``;
    each that it gives has a gate ``(B, widths[i], 1, 1)`` yet to be multiplied.
    """

    def __init__(self, block: ConditionalChannelWeighting) -> None:
        super().__init__()
        cross = block.cross_resolution_weighting
        spatial = block.spatial_weighting
        self.widths = list(cross.channels)
        self.reduce = cross.conv1
        self.expand = cross.conv2
        self.filters = block.depthwise_convs
        self.squeeze = _block_diagonal([s.conv1 for s in spatial])
        self.excite = _block_diagonal([s.conv2 for s in spatial])

    def forward(self, feats: Sequence[Tensor]) -> list[Product]:
        """Weight by position and filter; the gates of the means are returned."""
        crossed = self.expand(self.reduce(torch.cat(pooled(feats), 1)))
        gates = crossed.split(self.widths, 1)
        filtered = gated(feats, gates, self.filters)
        means = torch.cat([feat.mean((2, 3)) for feat in filtered], 1)
        excited = self.excite(self.squeeze(means).relu_()).sigmoid_()
        gates = excited[:, :, None, None].split(self.widths, 1)
        return list(zip(filtered, gates, strict=True))

    def place(self, channels: Sequence[Tensor]) -> Sequence[Tensor]:
        """Put channel ``channels[i][p]`` into slot p of map i; the orders after it."""
        every = joined(channels, self.widths)
        self.reduce[0] = read_order(self.reduce[0], every)
        self.expand[0] = write_order(self.expand[0], every, OPEN)
        self.filters = nn.ModuleList(
            depthwise_order(conv, c)
            for conv, c in zip(self.filters, channels, strict=True)
        )
        for layer, dim in ((self.squeeze, 1), (self.excite, 0)):
            layer.weight = nn.Parameter(take(layer.weight.data, every, dim))
        self.excite.bias = nn.Parameter(take(self.excite.bias.data, every, 0, OPEN))
        self.widths = [len(c) for c in channels]
        return channels


class CCWOnHalves(nn.Module):
    """A weighting on the second half of every map, and the halves interleaved."""

    def __init__(self, transform: MergedCCW) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Weight and interleave."""
        kept, changed = zip(*(halves(feat) for feat in feats), strict=True)
        products = self.transform(changed)
        return [interleave(a, b * g) for a, (b, g) in zip(kept, products, strict=True)]


def merge_ccw(model: nn.Module) -> nn.Module:
    """Fix pooling and up-sampling factors; merge the spatial weightings of a block."""
    return replace_modules(
        model,
        {ConditionalChannelWeighting: lambda block: CCWOnHalves(MergedCCW(block))},
    )
