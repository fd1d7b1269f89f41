"""Spatially unidimensional self-attention, the unit of X-HRNet (arXiv 2310.08042).

Attention is spent along one image axis at a time: a global vector along the other axis
weights the pixels that are summed, and the sum becomes a gate per row or per column.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...checks import check, one_of
from .conv import conv_norm
from .shuffle import halves, interleave

_AXES = {'h': 2, 'w': 3}


class SUSA(nn.Module):
    r"""Spatially unidimensional self-attention along one image axis.

    X-HRNet, arXiv 2310.08042, section 3. Written for ``axis='h'`` (one gate per row);
    ``'w'`` swaps H and W:

    .. math::
        q_w = \mathrm{softmax}_w(a \cdot \tfrac1H \textstyle\sum_h g_h x_{hw} + d),
        \quad v_h = \sum_w x_{hw} q_w, \quad
        y_{hw} = x_{hw} \, \sigma(\mathrm{LN}(M v_h + b))

    Departs from the paper: the mean is weighted by a learnable scalar ``g`` per row
    (``group_weight``), which published weights contain and which makes the layer depend
    on absolute position; the divisor stays H.

    Args:
        axis: Image axis that keeps its resolution, ``'h'`` or ``'w'``.
        max_size: Largest extent along ``axis``; length of the learned position weight,
            of which only the first rows (columns) are used.

    Shape:
        - Input, output: ``(B, C, H, W)``.

    Raises:
        ValueError: If ``axis`` is neither ``'h'`` nor ``'w'``, or if the input is
            longer than ``max_size`` along ``axis`` (the message gives both numbers).
    """

    def __init__(self, in_channels: int, axis: str, max_size: int) -> None:
        super().__init__()
        check('axis', axis, one_of(*_AXES))
        self.axis = axis
        self.dim = _AXES[axis]
        self.max_size = max_size
        shape = [1, 1, 1, 1]
        shape[self.dim] = max_size
        self.group_weight = nn.Parameter(torch.ones(shape))
        self.conv = conv_norm(in_channels, in_channels, 1, norm_cfg=None, act=None)
        self.mean_conv = conv_norm(
            in_channels, in_channels, 1, norm_cfg=None, depthwise=True, act=None
        )
        self.ln = nn.LayerNorm(in_channels)

    def fit_position_weight(self, weight: Tensor) -> Tensor:
        """Position weight of another length, cropped at the end or padded with ones.

        Never interpolated: entry i belongs to row (column) i whatever the input size,
        and ones are what an untrained entry holds.
        """
        fitted = torch.ones_like(self.group_weight, dtype=weight.dtype)
        common = min(weight.size(self.dim), self.max_size)
        fitted.narrow(self.dim, 0, common).copy_(weight.narrow(self.dim, 0, common))
        return fitted

    def forward(self, x: Tensor) -> Tensor:
        """Gate every row (column)."""
        size = x.size(self.dim)
        if size > self.max_size:
            raise ValueError(
                f'SUSA along {self.axis!r} got a map of {size} px, longer than its '
                f'position weight (max_size={self.max_size})'
            )
        position = self.group_weight.narrow(self.dim, 0, size)
        query = (x * position).mean(self.dim, keepdim=True)
        query = self.mean_conv(query)
        if self.axis == 'h':
            query = query.softmax(dim=3)
            value = x @ query.transpose(2, 3)  # (B, C, H, W) (B, C, W, 1): (B, C, H, 1)
        else:
            query = query.softmax(dim=2)
            value = query.transpose(2, 3) @ x  # (B, C, 1, H) (B, C, H, W): (B, C, 1, W)
        # movedim would be exported with negative axes, which ONNX Runtime refuses.
        gate = self.ln(self.conv(value).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x * gate.sigmoid()


class ParallelSUSA(nn.Module):
    """Attention along H on the first half of the channels, along W on the second.

    X-HRNet, arXiv 2310.08042, the parallel form (PX); the halves are interleaved after.

    Args:
        max_size: Largest input extent (H, W) in pixels of this map.

    Shape:
        - Input, output: ``(B, C, H, W)``.

    Raises:
        ValueError: If ``in_channels`` is odd.
    """

    def __init__(self, in_channels: int, max_size: tuple[int, int]) -> None:
        super().__init__()
        if in_channels % 2:
            raise ValueError(f'in_channels must be even, got {in_channels}')
        self.hconv = SUSA(in_channels // 2, 'h', max_size[0])
        self.wconv = SUSA(in_channels // 2, 'w', max_size[1])

    def forward(self, x: Tensor) -> Tensor:
        """Gate rows of one half and columns of the other."""
        first, second = halves(x)
        return interleave(self.hconv(first), self.wconv(second))
