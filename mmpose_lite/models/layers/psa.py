"""Polarized self-attention (arXiv 2107.00782): a channel and a spatial gate.

Each gate keeps one dimension at full length while the other is collapsed to a single
query. There are two arithmetics: the published code's, whose keys and weights exist,
and the usual reading of the paper's formulas.
"""

from __future__ import annotations

from torch import Tensor, nn

from ...checks import checked, one_of

OPTIONS = dict(layout=one_of('parallel', 'sequential'), variant=one_of('code', 'paper'))


def _parallel_gate(query: Tensor, value: Tensor) -> Tensor:
    """Published parallel form: softmax over positions after the contraction."""
    return (query @ value).softmax(dim=-1)


def _sequential_gate(query: Tensor, value: Tensor) -> Tensor:
    """Published sequential form: softmax over positions of every channel before it."""
    return query @ value.softmax(dim=-1)


def _paper_gate(query: Tensor, value: Tensor) -> Tensor:
    """Paper's form: softmax over the channels of the query."""
    return query.softmax(dim=-1) @ value


_SPATIAL_GATES = {
    ('code', 'parallel'): _parallel_gate,
    ('code', 'sequential'): _sequential_gate,
    ('paper', 'parallel'): _paper_gate,
    ('paper', 'sequential'): _paper_gate,
}


def _up_projection(channels: int, layout: str, variant: str) -> nn.Module:
    """From half of the channels to all, on a 1x1 map."""
    half = channels // 2
    if variant == 'paper':
        return nn.Sequential(
            nn.Conv2d(half, channels, 1), nn.LayerNorm((channels, 1, 1))
        )
    if layout == 'parallel':
        return nn.Conv2d(half, channels, 1, bias=False)
    reduced = half // 4
    return nn.Sequential(
        nn.Conv2d(half, reduced, 1),
        nn.LayerNorm((reduced, 1, 1)),
        nn.ReLU(inplace=True),
        nn.Conv2d(reduced, channels, 1),
    )


class PolarizedSelfAttention(nn.Module):
    r"""Polarized self-attention on one map.

    arXiv 2107.00782. With p a position, i one of C/2 channels, q and v the 1x1
    projections of each branch, and k the softmax over p of a one-channel query:

    ==============  ======================================  ======================
    ``variant``     channel gate                            spatial gate
    ==============  ======================================  ======================
    code, parallel  :math:`\sigma(W \sum_p v_{ip} k_p)`     softmax_p of the sum
    code, seq.      W is C/8 wide, LayerNorm, ReLU, again   softmax_p of the value
    paper           W has a bias and a LayerNorm after it   softmax_i of the query
    ==============  ======================================  ======================

    The spatial query is the mean over positions; every gate ends in a sigmoid.
    ``'parallel'`` adds the two gated maps, ``'sequential'`` gates by channel first and
    lets the spatial branch see the result. ``'code'`` departs from the paper: softmax
    over positions instead of on the spatial query, LayerNorm in one layout only.

    Usable by hand, as a plugin of mmdet's ResNet (``build_plugin_layer``) and, through
    :class:`PSAHRNet` and :class:`PSAResNet`, in MMPose's residual networks.

    Shape:
        - Input, output: ``(B, C, H, W)``.

    Raises:
        ValueError: If ``layout`` or ``variant`` is unknown, or ``in_channels`` is odd
            or too small for the bottleneck.
    """

    _abbr_ = 'deattn'

    @checked(**OPTIONS)
    def __init__(
        self, in_channels: int, layout: str = 'parallel', variant: str = 'code'
    ) -> None:
        super().__init__()
        least = 8 if (layout, variant) == ('sequential', 'code') else 2
        if in_channels % 2 or in_channels < least:
            raise ValueError(
                f'in_channels must be even and at least {least}, got {in_channels}'
            )
        half = in_channels // 2
        self.layout = layout
        self.gate = _SPATIAL_GATES[variant, layout]
        self.conv_q_right = nn.Conv2d(in_channels, 1, 1, bias=False)
        self.conv_v_right = nn.Conv2d(in_channels, half, 1, bias=False)
        self.conv_up = _up_projection(in_channels, layout, variant)
        self.conv_q_left = nn.Conv2d(in_channels, half, 1, bias=False)
        self.conv_v_left = nn.Conv2d(in_channels, half, 1, bias=False)
        for name in ('conv_q_right', 'conv_v_right', 'conv_q_left', 'conv_v_left'):
            nn.init.kaiming_normal_(self.get_submodule(name).weight)

    def channel_gate(self, x: Tensor) -> Tensor:
        """Gate ``(B, C, 1, 1)`` in 0..1."""
        key = self.conv_q_right(x).flatten(2).softmax(dim=-1)  # (B, 1, P)
        value = self.conv_v_right(x).flatten(2)  # (B, C / 2, P)
        summed = value @ key.transpose(1, 2)  # (B, C / 2, 1)
        return self.conv_up(summed.unsqueeze(-1)).sigmoid()

    def spatial_gate(self, x: Tensor) -> Tensor:
        """Gate ``(B, 1, H, W)`` in 0..1."""
        query = self.conv_q_left(x).flatten(2).mean(dim=-1)  # (B, C / 2)
        value = self.conv_v_left(x).flatten(2)  # (B, C / 2, P)
        gate = self.gate(query.unsqueeze(1), value)  # (B, 1, P)
        return gate.view(x.size(0), 1, *x.shape[-2:]).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Gate by channel and by position."""
        by_channel = x * self.channel_gate(x)
        if self.layout == 'parallel':
            return by_channel + x * self.spatial_gate(x)
        return by_channel * self.spatial_gate(by_channel)
