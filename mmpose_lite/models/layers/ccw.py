"""Conditional channel weighting, the unit of Lite-HRNet (arXiv 2104.06403, sec. 3.2).

Costly 1x1 convolutions are replaced by weights computed from all resolutions at once
(cross-resolution, eq. 4 to 6) and from each one alone (spatial, eq. 7). Departs from
the paper: none; attribute names are the published checkpoint keys.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conv import conv_norm
from .shuffle import halves, interleave


def _bottleneck(
    channels: Sequence[int], ratio: int, norm_cfg: dict | None
) -> tuple[nn.Module, nn.Module]:
    """Convolutions to one of ``ratio`` channels and back to all, with a sigmoid."""
    total, reduced = sum(channels), sum(channels) // ratio
    if reduced < 1:
        raise ValueError(
            f'channels {channels} must sum to at least {ratio}, so that one is left in '
            'the bottleneck'
        )
    first = conv_norm(total, reduced, 1, norm_cfg=norm_cfg)
    return first, conv_norm(reduced, total, 1, norm_cfg=norm_cfg, act='Sigmoid')


class CrossResolutionWeighting(nn.Module):
    """Channel weights per position, computed at the lowest resolution from all.

    Shape:
        - Input, output: list of ``(B, channels[i], H_i, W_i)``, high to low resolution.
    """

    def __init__(self, channels: Sequence[int], norm_cfg: dict) -> None:
        super().__init__()
        self.channels = list(channels)
        self.conv1, self.conv2 = _bottleneck(self.channels, 8, norm_cfg)

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Weight every map by its share of the common gate."""
        size = feats[-1].shape[-2:]
        pooled = [F.adaptive_avg_pool2d(feat, size) for feat in feats[:-1]]
        gates = self.conv2(self.conv1(torch.cat([*pooled, feats[-1]], dim=1)))
        gates = torch.split(gates, self.channels, dim=1)
        weighted = [
            feat * F.interpolate(gate, size=feat.shape[-2:], mode='nearest')
            for feat, gate in zip(feats[:-1], gates[:-1], strict=True)
        ]
        return [*weighted, feats[-1] * gates[-1]]


class SpatialWeighting(nn.Module):
    """Channel weights of one map from its global average (squeeze and excitation).

    Shape:
        - Input, output: ``(B, C, H, W)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = _bottleneck([channels], 4, None)

    def forward(self, x: Tensor) -> Tensor:
        """Weight the channels."""
        return x * self.conv2(self.conv1(x.mean(dim=(2, 3), keepdim=True)))


class ConditionalChannelWeighting(nn.Module):
    """Lite-HRNet's block on all resolutions at once, on half of each one's channels.

    Args:
        channels: Width of each resolution, high to low, all even.

    Shape:
        - Input, output: list of ``(B, channels[i], H_i, W_i)``, high to low resolution.

    Raises:
        ValueError: If a width is too small for the bottlenecks.
    """

    def __init__(self, channels: Sequence[int], norm_cfg: dict) -> None:
        super().__init__()
        half = [width // 2 for width in channels]
        self.cross_resolution_weighting = CrossResolutionWeighting(half, norm_cfg)
        self.depthwise_convs = nn.ModuleList(
            conv_norm(width, width, 3, norm_cfg=norm_cfg, depthwise=True, act=None)
            for width in half
        )
        self.spatial_weighting = nn.ModuleList(SpatialWeighting(w) for w in half)

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Weight, filter and weight again the second half of every map."""
        kept, changed = zip(*(halves(feat) for feat in feats), strict=True)
        changed = self.cross_resolution_weighting(changed)
        filtered = [
            weight(conv(feat))
            for feat, conv, weight in zip(
                changed, self.depthwise_convs, self.spatial_weighting, strict=True
            )
        ]
        return [interleave(a, b) for a, b in zip(kept, filtered, strict=True)]
