"""X-HRNet (arXiv 2310.08042): the skeleton with spatially unidimensional attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from mmengine.logging import print_log
from torch import nn

from ...checks import ANY, checked, each, whole
from ...registry import register_model
from ..layers import SUSA, ParallelSUSA, conv_norm, naive_transform, shuffle_chains
from .hr_base import LITE_WIDTHS, OPTIONS, HRArch, HRBackbone, resolve_arch

ARCHS = {
    #             unit          modules    widths per stage
    's18': HRArch('sequential', (2, 4, 2), LITE_WIDTHS),
    's30': HRArch('sequential', (3, 8, 3), LITE_WIDTHS),
    'p18': HRArch('parallel',   (2, 4, 2), LITE_WIDTHS),
    'p30': HRArch('parallel',   (3, 8, 3), LITE_WIDTHS),
}  # fmt: skip


def sequential_transform(
    width: int, norm_cfg: dict, *, max_size: tuple[int, int]
) -> tuple[nn.Module, ...]:
    """SX block: columns, then a depthwise 3x3 convolution, then rows."""
    return (
        SUSA(width, 'w', max_size[1]),
        conv_norm(width, width, 3, norm_cfg=norm_cfg, depthwise=True, act=None),
        SUSA(width, 'h', max_size[0]),
    )


def parallel_transform(
    width: int, norm_cfg: dict, *, max_size: tuple[int, int]
) -> tuple[nn.Module, ...]:
    """PX block: rows and columns side by side, before and after the convolution."""
    return (
        ParallelSUSA(width, max_size),
        conv_norm(width, width, 3, norm_cfg=norm_cfg, depthwise=True, act=None),
        ParallelSUSA(width, max_size),
    )


TRANSFORMS = {
    'sequential': sequential_transform,
    'parallel': parallel_transform,
    # It has no position weights to size.
    'naive': lambda width, norm_cfg, max_size: naive_transform(width, norm_cfg),
}
_SIZE = 'two positive numbers (H, W), the largest map at stride 4 in whole pixels'


@register_model
class XHRNet(HRBackbone):
    """X-HRNet: Lite-HRNet's skeleton with SUSA blocks.

    arXiv 2310.08042. State-dict keys are those of the official code. Departs from the
    paper: transitions have no ReLU, as in the official code.

    Position weights are the same length at every resolution and only their first rows
    and columns are used. Weights of another length load: they are cropped at the end or
    padded with ones, never interpolated, so that outputs at every input that both
    lengths support are unchanged.

    Args:
        arch: A row of ``ARCHS`` (``'s18'``, ``'s30'`` sequential, ``'p18'``, ``'p30'``
            parallel) or a dict of :class:`HRArch` fields, whose ``unit`` is
            ``'sequential'``, ``'parallel'`` or ``'naive'``.
        max_size: Largest (H, W) of the stride-4 map, that is a quarter of the largest
            input; published weights hold (96, 72). A larger one is a ``ValueError``.
        **options: As of :class:`HRBackbone`, which also gives shapes and errors.

    Example:
        >>> import torch
        >>> from mmpose_lite.models.backbones import XHRNet
        >>> feats = XHRNet('s18')(torch.rand(1, 3, 256, 192))
        >>> [tuple(feat.shape) for feat in feats]
        [(1, 40, 64, 48)]
    """

    @checked(arch=ANY, max_size=replace(each(whole(1), 2), wanted=_SIZE), **OPTIONS)
    def __init__(
        self,
        arch: str | Mapping = 's18',
        max_size: tuple[int, int] = (96, 72),
        **options: Any,
    ) -> None:
        row = resolve_arch(arch, ARCHS, TRANSFORMS)
        self.max_size = (int(max_size[0]), int(max_size[1]))
        transform = partial(TRANSFORMS[row.unit], max_size=self.max_size)
        super().__init__(
            row,
            partial(shuffle_chains, transform=transform),
            stem_branch=('branch2',),
            transition_relu=False,
            **options,
        )

    def _check_size(self, height: int, width: int) -> None:
        super()._check_size(height, width)
        size = (height // 4, width // 4)
        if size[0] > self.max_size[0] or size[1] > self.max_size[1]:
            raise ValueError(
                f'input {height}x{width} (H x W) gives a stride-4 map of '
                f'{size[0]}x{size[1]}, larger than the position weights '
                f'max_size={self.max_size}; build XHRNet with max_size={size} or larger'
            )

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        lengths = set()
        for name, module in self.named_modules():
            key = f'{prefix}{name}.group_weight'
            if isinstance(module, SUSA) and key in state_dict:
                weight = state_dict[key]
                if weight.shape != module.group_weight.shape:
                    lengths.add((module.axis, weight.size(module.dim)))
                    state_dict[key] = module.fit_position_weight(weight)
        if lengths:
            print_log(
                f'XHRNet: position weights of another length (axis, length) '
                f'{sorted(lengths)} were cropped or padded with ones to '
                f'max_size={self.max_size}',
                logger='current',
            )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
