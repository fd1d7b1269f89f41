"""The exchange of resolutions with fewer sums, convolutions and up-samplings.

See :class:`mmpose_lite.models.backbones.hr_base.HRModule` for the formulas.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...models.backbones.hr_base import HRModule
from .modules import convolution, replace_modules, split_activation, take_over


class DoubledHRModule(HRModule):
    """A module whose paths give twice what they did from the highest resolution."""

    def __init__(self, module: HRModule) -> None:
        take_over(self, module)
        for paths in self.fuse_layers[1:]:
            conv, rest = split_activation(paths[0][-1][-1])
            assert not rest
            conv.weight.data *= 2
            conv.bias.data *= 2

    def fuse(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """All sums, activated."""
        first, *others = self.fuse_layers[0][1:]
        top = torch.add(first(feats[1]), feats[0], alpha=2)
        for path, feat in zip(others, feats[2:], strict=True):
            top = top + path(feat)
        fused = [top]
        for paths in self.fuse_layers[1:]:
            total = paths[0](top)
            for path, feat in zip(paths[1:], feats[1:], strict=True):
                total = total + path(feat)
            fused.append(total)
        return [feat.relu() for feat in fused]


class NestedFusionLayers(nn.Module):
    """Fusion layers that up-sample each resolution once, by two.

    What resolution k sends to all higher ones leaves it in one convolution. Nearest
    up-sampling composes, so it joins what comes from below k and is up-sampled with it;
    the last channels have then arrived, the others go on.

    Args:
        lifts: For k = 1, 2, … the 1x1 convolution to the widths of resolutions 0..k-1.
        downs: For i = 1, 2, … the paths from resolutions 0..i-1 to i.
        widths: Channels of each resolution, ``(B, widths[i], H / 2^i, W / 2^i)``.
    """

    def __init__(
        self, lifts: nn.ModuleList, downs: nn.ModuleList, widths: Sequence[int]
    ) -> None:
        super().__init__()
        self.lifts = lifts
        self.downs = downs
        self.widths = list(widths)
        self.reorders = nn.ModuleList(nn.Identity() for _ in widths)

    def arrivals(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """What each resolution but the lowest receives from all below it."""
        arrived: list[Tensor] = []
        passing: Tensor | None = None
        for k in range(len(feats) - 1, 0, -1):
            lifted = self.added(self.lifts[k - 1], feats[k], passing)
            lifted = F.interpolate(lifted, scale_factor=2.0, mode='nearest')
            onward = sum(self.widths[: k - 1])
            if onward:
                passing, lifted = lifted.split((onward, self.widths[k - 1]), 1)
            arrived.insert(0, lifted)
        return arrived

    def added(self, path: nn.Module, x: Tensor, total: Tensor | None) -> Tensor:
        """Output of a path, and what there was already."""
        return path(x) if total is None else total + path(x)

    def top(self, arrived: Tensor, own: Tensor) -> Tensor:
        """The sum of the highest resolution."""
        return torch.add(arrived, own, alpha=2)

    def sums(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """All sums, before the activation."""
        arrived = self.arrivals(feats)
        own = [order(feat) for order, feat in zip(self.reorders, feats, strict=True)]
        sums = [self.top(arrived[0], own[0])]
        sources = [sums[0], *feats[1:]]
        for i, paths in enumerate(self.downs, 1):
            total = own[i] + arrived[i] if i < len(arrived) else own[i]
            for path, source in zip(paths, sources, strict=False):
                total = self.added(path, source, total)
            sums.append(total)
        return sums

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """All sums, activated."""
        return [total.relu() for total in self.sums(feats)]


class OptimizedHRModule(nn.Sequential):
    """A module of the skeleton: ``layers``, which are blocks, and ``fusion`` layers."""


def _nested(module: DoubledHRModule) -> OptimizedHRModule:
    paths, fusion = module.fuse_layers, nn.Identity()
    if len(paths):
        lifts, downs = nn.ModuleList(), nn.ModuleList()
        widths = [paths[0][1][0].out_channels]
        for k in range(1, len(paths)):
            convs = [paths[i][k][0] for i in range(k)]
            weights = torch.cat([conv.weight.data for conv in convs])
            biases = torch.cat([conv.bias.data for conv in convs])
            lifts.append(convolution(weights, biases))
            downs.append(paths[k][:k])
            widths.append(paths[k][0][-1][-1].out_channels)
        fusion = NestedFusionLayers(lifts, downs, widths)
    return OptimizedHRModule(OrderedDict(layers=module.layers, fusion=fusion))


def fold_doubling(model: nn.Module) -> nn.Module:
    """Compute the paths from the highest resolution once, twice as large."""
    return replace_modules(model, {HRModule: DoubledHRModule})


def nest_upsampling(model: nn.Module) -> nn.Module:
    """Up-sample each resolution once, and merge 1x1 convolutions of the same map."""
    return replace_modules(model, {DoubledHRModule: _nested})
