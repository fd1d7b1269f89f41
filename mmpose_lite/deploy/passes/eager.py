"""For PyTorch's own eager mode: fewer passes over memory.

A convolution adds what its output is to be added to and applies its activation while it
writes, on CPU by oneDNN's post-operations; and what nobody else reads is overwritten.
An exported graph gets no such form: engines fuse by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from .attention import AxisAttention
from .fusion_layers import NestedFusionLayers
from .modules import merge_steps, replace_modules, take_over
from .shuffle_removal import OnSlots

_ACTIVATIONS = {nn.ReLU: 'relu', nn.Sigmoid: 'sigmoid'}
_AFTER = {'relu': torch.relu_, 'sigmoid': torch.sigmoid_}


def _has_post_operations(x: Tensor) -> bool:
    """Whether oneDNN can compute a convolution of ``x``."""
    return (
        x.device.type == 'cpu'
        and x.dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
    )


class FusedConv(nn.Conv2d):
    """Convolution, sum with a map, and activation in one operator where there is one.

    It takes over a convolution; ``activation`` is ``'relu'``, ``'sigmoid'`` or None.
    """

    def __init__(self, conv: nn.Conv2d, activation: str | None = None) -> None:
        take_over(self, conv)
        self.activation = activation

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Activation of the convolution of ``x`` plus ``other``."""
        if not _has_post_operations(x):
            out = super().forward(x)
            out = out if other is None else out.add_(other)
            return out if self.activation is None else _AFTER[self.activation](out)
        where = (self.padding, self.stride, self.dilation, self.groups)
        operator = torch.ops.mkldnn._convolution_pointwise
        if other is None:
            name = self.activation or 'none'
            return operator(x, self.weight, self.bias, *where, name, [], '')
        # After a sum no other activation is fused.
        fused = self.activation if self.activation == 'relu' else None
        after = ('add', 1.0, fused, [], '')
        out = operator(x, other, self.weight, self.bias, *where, *after)
        return out if fused == self.activation else _AFTER[self.activation](out)


class EagerFusionLayers(NestedFusionLayers):
    """Nested fusion layers whose convolutions add to what is there."""

    def __init__(self, fusion: NestedFusionLayers) -> None:
        take_over(self, fusion)
        for paths in self.downs:
            paths[-1][-1][-1].activation = 'relu'

    def added(self, path: nn.Module, x: Tensor, total: Tensor | None) -> Tensor:
        """What a path gives, added by its last convolution."""
        if isinstance(path, FusedConv):
            return path(x, total)
        for step in path[:-1]:
            x = step(x)
        filtered, mix = path[-1]
        return mix(filtered(x), total)

    def top(self, arrived: Tensor, own: Tensor) -> Tensor:
        """The sum of the highest resolution."""
        return arrived.add_(own, alpha=2)

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """All sums, of which all but the first were activated with their last paths."""
        top, *others = self.sums(feats)
        return [top.relu_(), *others]


def _fuse_conv(conv: nn.Conv2d) -> nn.Module:
    plain = conv.padding_mode == 'zeros' and not isinstance(conv.padding, str)
    return FusedConv(conv) if type(conv) is nn.Conv2d and plain else conv


def _fuse_activation(conv: nn.Module, step: nn.Module) -> nn.Module | None:
    name = _ACTIVATIONS.get(type(step))
    if name is None or not isinstance(conv, FusedConv) or conv.activation is not None:
        return None
    conv.activation = name
    return conv


def fuse_for_eager(model: nn.Module) -> nn.Module:
    """Fuse sums and activations into convolutions, and overwrite what may be.

    The result cannot be exported. In other precisions than float32 and bfloat16, and on
    other devices than the CPU, it computes the same in separate operators.
    """
    sequences = {nn.Sequential: partial(merge_steps, merge=_fuse_activation)}
    model = replace_modules(model, {nn.Conv2d: _fuse_conv, **sequences})
    model = replace_modules(model, {NestedFusionLayers: EagerFusionLayers})
    for module in model.modules():
        if isinstance(module, OnSlots):
            module.in_place = True
        elif isinstance(module, (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU)):
            module.inplace = True
    return model


def order_for_eager(model: nn.Module) -> nn.Module:
    """Lay maps out channel last, as eager convolutions on CPU are fastest.

    Networks with attention along image axes stay as they are: their products with the
    map read it channel by channel.
    """
    if any(isinstance(module, AxisAttention) for module in model.modules()):
        return model
    return model.to(memory_format=torch.channels_last)
