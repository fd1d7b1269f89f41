"""The two convolution groups of the Lite-HRNet family, with their published keys."""

from __future__ import annotations

from mmcv.cnn import ConvModule, build_norm_layer
from torch import nn

from ...checks import blaming


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    norm_cfg: dict | None,
    stride: int = 1,
    depthwise: bool = False,
    act: str | None = 'ReLU',
) -> ConvModule:
    """Convolution, normalisation and activation; "same" padding.

    Without a norm the convolution has a bias. Keys are ``conv.*`` and ``bn.*``.

    Shape:
        - Input: ``(B, in_channels, H, W)``.
        - Output: ``(B, out_channels, ceil(H / stride), ceil(W / stride))``.
    """
    with blaming('norm_cfg', norm_cfg):
        return ConvModule(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=kernel_size // 2,
            groups=in_channels if depthwise else 1,
            norm_cfg=norm_cfg,
            act_cfg=None if act is None else dict(type=act),
        )


def norm_layer(norm_cfg: dict, channels: int) -> nn.Module:
    """Norm of a map.

    Raises:
        ValueError: If the norm does not suit the width (its groups do not divide it).
    """
    with blaming('norm_cfg', norm_cfg):
        return build_norm_layer(norm_cfg, channels)[1]


def depthwise_pointwise(
    in_channels: int, out_channels: int, *, stride: int, relu: bool, norm_cfg: dict
) -> nn.Sequential:
    """Depthwise 3x3 and pointwise 1x1 convolution, each with a norm after it.

    The children are numbered 0 to 3 (conv, norm, conv, norm) and there is no activation
    between the two halves; a ReLU at the end is child 4.

    Shape:
        - Input: ``(B, in_channels, H, W)``.
        - Output: ``(B, out_channels, ceil(H / stride), ceil(W / stride))``.
    """
    layers = [
        nn.Conv2d(
            in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False
        ),
        norm_layer(norm_cfg, in_channels),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        norm_layer(norm_cfg, out_channels),
    ]
    return nn.Sequential(*layers, *([nn.ReLU(inplace=True)] if relu else []))
