"""Polarized self-attention inside the residual blocks of MMPose's HRNet and ResNet.

arXiv 2107.00782. Neither network is written again: their blocks are subclassed, and the
networks only say which blocks to use. Keys of the plain network stay as they are, so
that ImageNet weights load; attention adds ``…deattn.*``.

The placement (after the first 3x3 convolution, its norm and ReLU) is certain for the
authors' segmentation HRNet; for pose networks, of which no code was published, it is a
reconstruction.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from mmpose.models.backbones import HRNet, ResNet
from mmpose.models.backbones.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from ...checks import blaming, checked
from ...registry import register_model
from ..layers import PolarizedSelfAttention, checkpoint_keeping_stats
from ..layers.psa import OPTIONS
from .borrowed import HRNET, RESNET, ReturnsItself, check_extra, check_resnet


class _PSABlock(nn.Module):
    """What both residual blocks share: a place for attention, and the sum."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.deattn: nn.Module = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Residual block with attention after its 3x3 convolution."""
        recompute = self.with_cp and self.training and x.requires_grad
        return self.relu(
            checkpoint_keeping_stats(self, x, method=self.sum)
            if recompute
            else self.sum(x)
        )

    def sum(self, x: Tensor) -> Tensor:
        """Residual and identity branch, before the last ReLU."""
        identity = x if self.downsample is None else self.downsample(x)
        return self.residual(x) + identity


class PSABasicBlock(_PSABlock, BasicBlock):
    """MMPose's ``BasicBlock`` with attention before its second convolution."""

    def residual(self, x: Tensor) -> Tensor:
        """The residual branch."""
        out = self.relu(self.norm1(self.conv1(x)))
        return self.norm2(self.conv2(self.deattn(out)))


class PSABottleneck(_PSABlock, Bottleneck):
    """MMPose's ``Bottleneck`` with attention before its last convolution."""

    def residual(self, x: Tensor) -> Tensor:
        """The residual branch."""
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.relu(self.norm2(self.conv2(out)))
        return self.norm3(self.conv3(self.deattn(out)))


def _add_attention(net: nn.Module, blocks: tuple[type, ...], **options: str) -> None:
    for name, block in net.named_modules():
        if not isinstance(block, blocks):
            continue
        try:
            block.deattn = PolarizedSelfAttention(block.mid_channels, **options)
        except ValueError as error:
            raise ValueError(
                f'{type(net).__name__}: num_channels or base_channels give {name} '
                f'{block.mid_channels} channels, which its attention cannot have: '
                f'{error}'
            ) from error


def _arguments(base: type, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a class by name, the defaults included."""
    bound = inspect.signature(base).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments


@register_model
class PSAHRNet(ReturnsItself, HRNet):
    """HRNet of MMPose with polarized self-attention in its residual blocks.

    Args:
        in_bottlenecks: Whether the Bottlenecks of stage 1 get attention too; in the
            authors' segmentation network they do not.
        layout, variant: See :class:`PolarizedSelfAttention`.
        *args, **kwargs: As of MMPose's ``HRNet``.
    """

    blocks_dict: ClassVar[dict[str, type[nn.Module]]] = {
        'BASIC': PSABasicBlock,
        'BOTTLENECK': PSABottleneck,
    }

    @checked(**HRNET, **OPTIONS)
    def __init__(
        self,
        *args: Any,
        layout: str = 'parallel',
        variant: str = 'code',
        in_bottlenecks: bool = False,
        **kwargs: Any,
    ) -> None:
        given = _arguments(HRNet, args, kwargs)
        stages = [f'stage{i}' for i in range(1, 5)]
        check_extra(type(self).__name__, given['extra'], stages)
        with blaming('norm_cfg', given['norm_cfg']):
            super().__init__(*args, **kwargs)
        blocks = (PSABasicBlock, PSABottleneck) if in_bottlenecks else (PSABasicBlock,)
        _add_attention(self, blocks, layout=layout, variant=variant)
        self._freeze_stages()  # attention in frozen stages is frozen too


@register_model
class PSAResNet(ReturnsItself, ResNet):
    """ResNet of MMPose with polarized self-attention in every residual block.

    Args:
        layout, variant: See :class:`PolarizedSelfAttention`.
        *args, **kwargs: As of MMPose's ``ResNet``.
    """

    arch_settings: ClassVar[dict[int, tuple]] = {
        depth: (PSABasicBlock if block is BasicBlock else PSABottleneck, counts)
        for depth, (block, counts) in ResNet.arch_settings.items()
    }

    @checked(**RESNET, **OPTIONS)
    def __init__(
        self, *args: Any, layout: str = 'parallel', variant: str = 'code', **kwargs: Any
    ) -> None:
        given = _arguments(ResNet, args, kwargs)
        check_resnet(type(self).__name__, given)
        with blaming('norm_cfg', given['norm_cfg']):
            super().__init__(*args, **kwargs)
        _add_attention(
            self, (PSABasicBlock, PSABottleneck), layout=layout, variant=variant
        )
        self._freeze_stages()  # attention in frozen stages is frozen too
