"""Half-channel blocks: one half is transformed, then the halves are interleaved.

ShuffleNet V2, arXiv 1807.11164, section 3.2: a channel shuffle with two groups is the
same as laying the channels of the two halves alternately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from .conv import conv_norm


def halves(x: Tensor) -> tuple[Tensor, Tensor]:
    """First and second half of the channels, each ``(B, C / 2, H, W)`` (views)."""
    first, second = x.chunk(2, dim=1)
    return first, second


def interleave(a: Tensor, b: Tensor) -> Tensor:
    """Channels of two maps laid alternately: a0, b0, a1, b1, ….

    Equals concatenation followed by a channel shuffle with two groups, in one copy.

    Shape:
        - Inputs: ``(B, C, H, W)`` each.
        - Output: ``(B, 2 * C, H, W)``.
    """
    return torch.stack((a, b), dim=2).flatten(1, 2)


class ShuffleUnit(nn.Module):
    """Half-channel block of stride 1: the first half passes, the second is transformed.

    No residual is added. The transform's parameters lie under ``branch2``.

    Shape:
        - Input, output: ``(B, C, H, W)`` with C even.
    """

    def __init__(self, transform: Iterable[nn.Module]) -> None:
        super().__init__()
        self.branch2 = nn.Sequential(*transform)

    def forward(self, x: Tensor) -> Tensor:
        """Transform the second half and interleave."""
        kept, changed = halves(x)
        return interleave(kept, self.branch2(changed))


class PerBranch(nn.ModuleList):
    """One module per resolution, each applied to its own map."""

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Apply module i to map i."""
        return [branch(feat) for branch, feat in zip(self, feats, strict=True)]


def naive_transform(width: int, norm_cfg: dict) -> tuple[nn.Module, ...]:
    """1x1, depthwise 3x3 and 1x1 convolution, the naive Lite-HRNet's block."""
    return (
        conv_norm(width, width, 1, norm_cfg=norm_cfg),
        conv_norm(width, width, 3, norm_cfg=norm_cfg, depthwise=True, act=None),
        conv_norm(width, width, 1, norm_cfg=norm_cfg),
    )


def shuffle_chains(
    channels: Sequence[int],
    num_blocks: int,
    norm_cfg: dict,
    *,
    transform: Callable[[int, dict], Iterable[nn.Module]],
) -> PerBranch:
    """Per resolution a chain of shuffle units.

    Args:
        transform: ``(width, norm_cfg)`` to a unit's modules, where ``width`` is half of
            the resolution's channels.
    """
    return PerBranch(
        nn.Sequential(
            *(ShuffleUnit(transform(width // 2, norm_cfg)) for _ in range(num_blocks))
        )
        for width in channels
    )
