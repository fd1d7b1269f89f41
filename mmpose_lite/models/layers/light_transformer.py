"""The lightweight transformer of HR-NAS (arXiv 2106.06560, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import SelfAttention
from .conv import norm_layer
from .surgery import Cut, cut_inputs, cut_norm, cut_outputs, cut_parameter

SIDE = 8
"""Maps are resized to SIDE x SIDE; a token is one such map."""
WIDTH = SIDE * SIDE


class PostNormLayer(nn.Module):
    """Attention and a two-layer perceptron (ReLU), each followed by its norm.

    With learned ``queries`` the attention asks with them, but the residual is still
    the tokens: that is published, and why there must be as many queries as tokens.

    Args:
        embed_dims: Token width D, and hidden width of the perceptron.
        dropout: Rate on attention weights, hidden layer and both residual branches.

    Shape:
        - tokens, output: ``(B, N, D)``; queries: ``(N, D)``.
    """

    def __init__(self, embed_dims: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(embed_dims, 1, bias=False, dropout=dropout)
        self.linear1 = nn.Linear(embed_dims, embed_dims, bias=False)
        self.linear2 = nn.Linear(embed_dims, embed_dims, bias=False)
        self.norm1 = nn.LayerNorm(embed_dims)
        self.norm2 = nn.LayerNorm(embed_dims)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, queries: Tensor | None = None) -> Tensor:
        """One layer."""
        if queries is None:
            parts = self.attention.project(tokens)
        else:
            parts = self.attention.project(queries.expand_as(tokens), tokens)
        attended = self.attention.merge(self.attention.attend(*parts))
        tokens = self.norm1(tokens + self.dropout(attended))
        hidden = self.dropout(F.relu(self.linear1(tokens)))
        return self.norm2(tokens + self.dropout(self.linear2(hidden)))


class LightTransformer(nn.Module):
    r"""Global context through a few tokens, at a cost that hardly grows with the map.

    With X, Y the standardised coordinates of an 8x8 grid and n tokens of width 64

    .. math::
        t &= \mathrm{BN}(\mathrm{Conv}_{1 \times 1}([\mathrm{resize}_8(x), X, Y])) \\
        m &= \mathrm{Encoder}(t), \qquad o = \mathrm{Decoder}(Q, m) \\
        y &= \mathrm{resize}(\mathrm{BN}(\mathrm{Conv}_{1 \times 1}(o)))

    Every token is one 8x8 map. The weights of the first batch norm are the tokens'
    importance in the search.

    Shape:
        - Input: ``(B, C, H, W)``.
        - Output: ``(B, C', H', W')``, H' and W' as asked for.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        tokens: int,
        norm_cfg: dict,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.project = nn.Conv2d(in_channels + 2, tokens, 1, bias=False)
        self.project_norm = norm_layer(norm_cfg, tokens)
        self.encoder = PostNormLayer(WIDTH, dropout)
        self.queries = nn.Parameter(torch.empty(tokens, WIDTH))
        self.decoder = PostNormLayer(WIDTH, dropout)
        self.reverse = nn.Conv2d(tokens, out_channels, 1, bias=False)
        self.reverse_norm = norm_layer(norm_cfg, out_channels)
        steps = torch.arange(SIDE, dtype=torch.float32) - (SIDE - 1) / 2
        steps = steps / ((SIDE**2 - 1) / 12) ** 0.5  # population deviation 1
        grid = torch.stack(torch.meshgrid(steps, steps, indexing='xy'))
        self.register_buffer('grid', grid[None], persistent=False)
        nn.init.xavier_uniform_(self.queries)

    @property
    def tokens(self) -> int:
        """Number of tokens."""
        return self.project.out_channels

    @property
    def importance(self) -> nn.Parameter:
        """Weights of the first norm, the tokens' importance in the search."""
        return self.project_norm.weight

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Transform ``x`` and resize the result to ``size`` (H', W')."""
        small = F.interpolate(x, (SIDE, SIDE), mode='bilinear', align_corners=False)
        small = torch.cat((small, self.grid.expand(x.shape[0], -1, -1, -1)), 1)
        tokens = self.project_norm(self.project(small)).flatten(2)
        tokens = self.decoder(self.encoder(tokens), self.queries)
        maps = self.reverse_norm(self.reverse(tokens.unflatten(2, (SIDE, SIDE))))
        return F.interpolate(maps, size, mode='bilinear', align_corners=False)

    def cut(self, keep: Tensor) -> Iterator[Cut]:
        """Go on with the tokens ``keep`` only; this changes the function.

        The softmax and the decoder's residual see every token, so no constant can stand
        in for one that leaves.
        """
        yield from cut_outputs(self.project, keep)
        yield from cut_norm(self.project_norm, keep)
        yield cut_parameter(self.queries, 0, keep)
        yield from cut_inputs(self.reverse, keep)
