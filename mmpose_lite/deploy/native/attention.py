"""Attention along an image axis as one operator, so that it is compiled as one."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..passes.attention import AxisAttention


@torch.library.custom_op('mmpose_lite::axis_gate', mutates_args=())
def axis_gate(
    x: Tensor,
    query: Tensor,
    weight: Tensor,
    bias: Tensor,
    scale: Tensor,
    shift: Tensor,
    eps: float,
    rows: bool,
) -> Tensor:
    """Only traced; :class:`AxisAttention` says what it computes."""
    raise NotImplementedError('axis_gate is traced, never run')


@axis_gate.register_fake
def _(x, query, weight, bias, scale, shift, eps, rows):  # type: ignore[no-untyped-def]
    batch, channels, height, width = x.shape
    size = (height, 1) if rows else (1, width)
    return x.new_empty(batch, channels, *size)


class MarkedAttention(AxisAttention):
    """Attention along an axis whose gate is one operator."""

    def gate(self, x: Tensor) -> Tensor:
        """Gate of every row or column."""
        query = self.query
        if self.size is None:
            size = x.shape[5 - self.across]
            query = query.narrow(self.across, 0, size) / size
        return axis_gate(
            x,
            query,
            self.mix.weight,
            self.mix.bias,
            self.norm.weight,
            self.norm.bias,
            self.norm.eps,
            self.axis == 'h',
        )


def mark_attention(network: nn.Module) -> nn.Module:
    """A network whose attentions along an axis are traced as one operator each."""
    if not any(isinstance(m, AxisAttention) for m in network.modules()):
        return network
    network = copy.deepcopy(network)
    for module in network.modules():
        if type(module) is AxisAttention:
            module.__class__ = MarkedAttention
    return network
