"""Lite-HRNet and its naive forms (arXiv 2104.06403) on the one skeleton."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from ...checks import ANY, checked
from ...registry import register_model
from ..layers import ConditionalChannelWeighting, naive_transform, shuffle_chains
from .hr_base import LITE_WIDTHS, OPTIONS, HRArch, HRBackbone, MakeLayers, resolve_arch

_NARROW = ((30, 60), (30, 60, 120), (30, 60, 120, 240))

# The published variants.
ARCHS = {
    #                        unit     modules    widths per stage
    '18':             HRArch('ccw',   (2, 4, 2), LITE_WIDTHS),
    '30':             HRArch('ccw',   (3, 8, 3), LITE_WIDTHS),
    'naive-18':       HRArch('naive', (2, 4, 2), _NARROW),
    'wider-naive-18': HRArch('naive', (2, 4, 2), LITE_WIDTHS),
}  # fmt: skip


def ccw_chain(channels: Sequence[int], num_blocks: int, norm_cfg: dict) -> nn.Module:
    """Chain of conditional channel weighting blocks over all resolutions at once."""
    return nn.Sequential(
        *(ConditionalChannelWeighting(channels, norm_cfg) for _ in range(num_blocks))
    )


UNITS: dict[str, MakeLayers] = {
    'ccw': ccw_chain,
    'naive': partial(shuffle_chains, transform=naive_transform),
}


@register_model
class LiteHRNet(HRBackbone):
    """Lite-HRNet: conditional channel weighting instead of costly 1x1 convolutions.

    arXiv 2104.06403. State-dict keys are those of the official code and of MMPose.
    Departs from MMPose's class: it starts from the official initialisation, ``train()``
    returns the module, and ``with_cp`` and ``frozen_stages`` work.

    Args:
        arch: A row of ``ARCHS`` (``'18'``, ``'30'``, ``'naive-18'``,
            ``'wider-naive-18'``) or a dict of :class:`HRArch` fields, whose ``unit`` is
            ``'ccw'`` or ``'naive'``.
        **options: As of :class:`HRBackbone`, which also gives shapes and errors.

    Example:
        >>> import torch
        >>> from mmpose_lite.models.backbones import LiteHRNet
        >>> feats = LiteHRNet('18')(torch.rand(1, 3, 256, 192))
        >>> [tuple(feat.shape) for feat in feats]
        [(1, 40, 64, 48)]
    """

    @checked(arch=ANY, **OPTIONS)
    def __init__(self, arch: str | Mapping = '18', **options: Any) -> None:
        row = resolve_arch(arch, ARCHS, UNITS)
        super().__init__(
            row,
            UNITS[row.unit],
            stem_branch=('expand_conv', 'depthwise_conv', 'linear_conv'),
            transition_relu=True,
            **options,
        )
