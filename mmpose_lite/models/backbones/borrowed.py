"""What MMPose's HRNet and ResNet lack: checks of what they take, and chained modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from mmpose.models.backbones import HRNet, ResNet
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...checks import (
    ANY,
    FLAG,
    MAPPING,
    NOTHING,
    check,
    check_arguments,
    each,
    one_of,
    rules_of,
    whole,
)
from ..layers.config_rules import CONV_CFG, INIT_CFG, NORM_CFG

_SHARED = dict(
    conv_cfg=CONV_CFG, norm_cfg=NORM_CFG, frozen_stages=whole(-1, 4), init_cfg=INIT_CFG
)
HRNET = rules_of(HRNet, extra=MAPPING, **_SHARED)
"""Arguments of MMPose's ``HRNet``, in its order."""
RESNET = rules_of(
    ResNet,
    depth=one_of(18, 34, 50, 101, 152),
    expansion=NOTHING | whole(1),
    num_stages=whole(1, 4),
    strides=each(whole(1)),
    dilations=each(whole(1)),
    out_indices=each(whole(0, 3), least=1),
    style=one_of('pytorch', 'caffe'),
    **_SHARED,
)
"""Arguments of MMPose's ``ResNet``, in its order."""
_STAGE = dict(
    num_modules=whole(1),
    num_branches=whole(1, 4),
    block=one_of('BASIC', 'BOTTLENECK'),
    num_blocks=each(whole(1)),
    num_channels=each(whole(1)),
    multiscale_output=FLAG,
)
_UPSAMPLE = dict(mode=one_of('nearest', 'bilinear'), align_corners=NOTHING | FLAG)
_EXTRA = dict.fromkeys([*(f'stage{i}' for i in range(1, 5)), 'upsample'], ANY)


T = TypeVar('T', bound='ReturnsItself')


class ReturnsItself(nn.Module):
    """Mix-in, before a backbone of MMPose, whose ``train()`` returns None."""

    norm_eval = False

    def train(self: T, mode: bool = True) -> T:
        """Set the mode; with ``norm_eval`` norms stay in eval."""
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self


def check_extra(owner: str, extra: Mapping[str, Any], stages: Sequence[str]) -> None:
    """Refuse stages of an HRNet that do not fit themselves or each other."""
    check_arguments(f'{owner}: extra', _EXTRA, extra.items())
    upsample = extra.get('upsample', {})
    check(f"{owner}: extra['upsample']", upsample, MAPPING)
    check_arguments(f"{owner}: extra['upsample']", _UPSAMPLE, upsample.items())
    before: list[int] = []
    for name in stages:
        where, stage = f'{owner}: extra[{name!r}]', extra.get(name)
        check(where, stage, MAPPING)
        check_arguments(where, _STAGE, stage.items())
        if missing := [key for key in [*_STAGE][:-1] if key not in stage]:
            raise ValueError(f'{where} lacks {missing}')
        branches = stage['num_branches']
        least, most = (1, 1) if name == 'stage1' else (max(len(before), 1), 4)
        check(f'{where} num_branches', branches, whole(least, most))
        for key in ('num_blocks', 'num_channels'):
            check(f'{where} {key}', stage[key], each(whole(1), branches))
        expansion = 4 if stage['block'] == 'BOTTLENECK' else 1
        widths = [expansion * width for width in stage['num_channels']]
        # MMPose reads a branch whose width changes from another branch's map.
        if name != 'stage1' and widths[: len(before)] != before:
            raise ValueError(
                f'{where} num_channels must keep the widths {before} of the stage '
                f'before (block {stage["block"]!r} multiplies by {expansion}), got '
                f'{stage["num_channels"]}'
            )
        before = [] if name == 'stage1' else widths


def check_resnet(owner: str, given: Mapping[str, Any]) -> None:
    """Refuse arguments of a ResNet, defaults included, that do not fit each other."""
    stages = given['num_stages']
    rules = dict(
        strides=each(whole(1), stages),
        dilations=each(whole(1), stages),
        out_indices=each(whole(0, stages - 1), least=1),
        frozen_stages=whole(-1, stages),
        stem_channels=whole(2 if given['deep_stem'] else 1),
        expansion=RESNET['expansion'] if given['depth'] >= 50 else NOTHING | one_of(1),
    )
    check_arguments(owner, rules, ((name, given[name]) for name in rules))
