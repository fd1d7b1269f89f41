"""For OpenVINO: what it has to lay maps out anew for becomes convolutions.

Its convolutions want channels last, its matrix products and gathers channels first, and
each change of layout takes longer than the product.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import AxisAttention
from .spans import Reorder
from .tree import rewrite
from .weights import convolution


class ConvolvedAttention(AxisAttention):
    """Axis attention whose logits are a depthwise convolution over a whole axis.

    Values are a product with the map and a sum; the norm over channels is written out,
    its mean folded into the weights before it.

    Args:
        layer: What it computes; must know the length of its axis.

    Shape:
        - Input, output: ``(B, C, H, W)``, H or W being that length.
    """

    def __init__(self, layer: AxisAttention) -> None:
        nn.Module.__init__(self)
        self.axis = layer.axis
        # (1, C, 1, H) or (1, C, W, 1), one kernel per channel.
        kernels = layer.query.data.transpose(2, 3).transpose(0, 1)
        weight, bias = layer.mix.weight.data, layer.mix.bias.data
        self.query = nn.Parameter(kernels.contiguous())
        like = nn.Conv2d(*weight.shape[::-1], 1, device='meta')
        centred = (weight - weight.mean(0))[..., None, None]
        self.mix = convolution(like, centred, bias - bias.mean())
        self.scale = nn.Parameter(layer.norm.weight.data.view(1, -1, 1, 1))
        self.shift = nn.Parameter(layer.norm.bias.data.view(1, -1, 1, 1))
        self.eps = layer.norm.eps

    def gate(self, x: Tensor) -> Tensor:
        """Gate of every row, ``(B, C, H, 1)``, or column, ``(B, C, 1, W)``."""
        across = 3 if self.axis == 'h' else 2
        logits = F.conv2d(x, self.query, groups=len(self.query))
        value = (x * logits.softmax(across)).sum(across, keepdim=True)
        centred = self.mix(value)
        variance = (centred * centred).mean(1, keepdim=True)
        normed = centred * (variance + self.eps).rsqrt()
        return (normed * self.scale + self.shift).sigmoid()


def convolve_attention(model: nn.Module) -> nn.Module:
    """Compute attention along axes by convolutions, where their length is known.

    Args:
        model: A network after :func:`absorb_shuffles`, rewritten in place.
    """

    def convolved(layer: AxisAttention) -> AxisAttention:
        return layer if layer.size is None else ConvolvedAttention(layer)

    return rewrite(model, {AxisAttention: convolved})


def convolve_reorders(model: nn.Module) -> nn.Module:
    """Reorder channels by convolutions with weights of zero and one.

    Args:
        model: A network after :func:`absorb_shuffles`, rewritten in place.
    """
    some = next(model.parameters(), torch.empty(0))

    def convolved(move: Reorder) -> nn.Conv2d:
        rows, columns = len(move.index), move.width
        kernel = some.new_zeros(rows, columns, 1, 1)
        kernel[torch.arange(rows), move.index] = 1
        return convolution(nn.Conv2d(columns, rows, 1, device='meta'), kernel, None)

    return rewrite(model, {Reorder: convolved})
