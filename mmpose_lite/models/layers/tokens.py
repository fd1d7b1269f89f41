"""From a map to tokens: patches and their positions (TokenPose, arXiv 2104.03516)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PatchEmbedding(nn.Linear):
    """Linear embedding of the non-overlapping patches of a map.

    A patch is flattened with the channel fastest, then its column, then its row; tokens
    follow each other row by row.

    Args:
        patch_size: Width and height of a patch in cells of the map.

    Shape:
        - Input: ``(B, C, H, W)``, H and W multiples of the patch.
        - Output: ``(B, n, D)``.
    """

    def __init__(
        self, in_channels: int, patch_size: tuple[int, int], embed_dims: int
    ) -> None:
        self.patch_size = patch_size
        super().__init__(in_channels * patch_size[0] * patch_size[1], embed_dims)

    def forward(self, feat: Tensor) -> Tensor:
        """Cut and embed, as a convolution that strides over the patches."""
        width, height = self.patch_size
        # A copy of the weight: laid out channel first it spares one of the whole map,
        # which takes as long as the embedding itself.
        weight = self.weight.unflatten(1, (height, width, -1)).permute(0, 3, 1, 2)
        embedded = F.conv2d(
            feat, weight.contiguous(), self.bias, stride=(height, width)
        )
        return embedded.flatten(2).transpose(1, 2)


def sine_position_table(grid: tuple[int, int], embed_dims: int) -> Tensor:
    """Fixed position of every cell of a grid, rows in the first half of the features.

    With u = 1..m along an axis of m cells the angle is 2 pi u / (m + 1e-6); feature k
    of F = D / 2 is the sine (k even) or cosine (k odd) of the angle over
    10000^(2 floor(k / 2) / F), as in DETR (arXiv 2005.12872).

    Args:
        grid: Columns and rows.
        embed_dims: Token width D, a multiple of 4.

    Returns:
        ``(1, columns * rows, D)``, row by row.

    Raises:
        ValueError: If ``embed_dims`` is not a multiple of 4.
    """
    if embed_dims % 4:
        raise ValueError(
            f'embed_dims must be a multiple of 4 for sine positions, got {embed_dims}'
        )
    features = embed_dims // 2
    k = torch.arange(features, dtype=torch.float32)
    period = 10000 ** (2 * torch.div(k, 2, rounding_mode='floor') / features)

    def axis(cells: int) -> Tensor:
        position = torch.arange(1, cells + 1, dtype=torch.float32)
        angle = position / (cells + 1e-6) * (2 * math.pi)
        ratio = angle[:, None] / period
        return torch.stack((ratio[:, 0::2].sin(), ratio[:, 1::2].cos()), 2).flatten(1)

    columns, rows = grid
    by_row = axis(rows)[:, None].expand(-1, columns, -1)
    by_column = axis(columns)[None].expand(rows, -1, -1)
    return torch.cat((by_row, by_column), -1).flatten(0, 1)[None]
