"""The feature extractors of TokenPose (arXiv 2104.03516): a short HRNet, or none.

MMPose's HRNet is not written again: stages that a trunk lacks are empty, so names stay
those of the full network and its ImageNet weights load.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmpose.models.backbones import HRNet
from mmpose.models.backbones.base_backbone import BaseBackbone
from mmpose.models.backbones.resnet import get_expansion
from torch import Tensor, nn

from ...checks import blaming, check, checked, whole
from ...registry import register_model
from ..layers.config_rules import INIT_CFG
from .borrowed import HRNET, ReturnsItself, check_extra


@register_model
class HRNetTrunk(ReturnsItself, HRNet):
    """MMPose's HRNet up to one of its first three stages.

    Three stages are the trunk of TokenPose-B (W32) and L (W48), one is the stem of S.

    Args:
        extra: Stages as of MMPose's ``HRNet``; those after ``num_stages`` are not read.
        num_stages: Stages to build, 1 to 3.

    Shape:
        - Input: ``(B, 3, H, W)``.
        - Output: tuple of one map, the finest branch, ``(B, C, H / 4, W / 4)``.
    """

    @checked(**HRNET, num_stages=whole(1, 3))
    def __init__(
        self, extra: Mapping[str, Any], num_stages: int = 3, **kwargs: Any
    ) -> None:
        wanted = [f'stage{stage}' for stage in range(1, num_stages + 1)]
        owner = type(self).__name__
        check_extra(owner, extra, wanted)
        frozen = kwargs.get('frozen_stages', -1)
        check(f'{owner}: frozen_stages', frozen, whole(-1, num_stages))
        stages = {name: dict(extra[name]) for name in wanted}
        # Only the finest branch is read, so the last module fuses into it alone.
        stages[wanted[-1]]['multiscale_output'] = False
        width = stages[wanted[-1]]['num_channels'][0]
        if num_stages == 1:
            width *= get_expansion(self.blocks_dict[stages['stage1']['block']])
        empty = dict(
            num_modules=0,
            num_branches=1,
            block='BASIC',
            num_blocks=(),
            num_channels=(width,),
        )
        stages |= {f'stage{i}': empty for i in range(num_stages + 1, 5)}
        options = {k: v for k, v in extra.items() if not k.startswith('stage')}
        with blaming('norm_cfg', kwargs.get('norm_cfg')):
            super().__init__(extra={**options, **stages}, **kwargs)

    def _make_stage(
        self,
        layer_config: Mapping[str, Any],
        in_channels: list[int],
        multiscale_output: bool = True,
    ) -> tuple[nn.Module, list[int]]:
        """As MMPose's, but any stage may say ``multiscale_output=False``."""
        multiscale_output = layer_config.get('multiscale_output', multiscale_output)
        return super()._make_stage(layer_config, in_channels, multiscale_output)


@register_model
class RawImage(ReturnsItself, BaseBackbone):
    """No backbone: the normalised image is the map, as of TokenPose-T."""

    @checked(init_cfg=INIT_CFG)
    def __init__(self, init_cfg: dict | list[dict] | None = None) -> None:
        super().__init__(init_cfg=init_cfg)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """The image itself."""
        return (x,)
