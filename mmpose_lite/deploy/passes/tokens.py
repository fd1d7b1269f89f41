"""TokenPose's head with its constants folded."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...models.heads import TokenPoseHead
from ...models.layers import PatchEmbedding, Stream
from .tree import rewrite


class PatchConvolution(nn.Module):
    """Patch embedding with its weights laid out as the convolution reads them.

    Args:
        embedding: What it computes.

    Shape:
        - Input: ``(B, C, H, W)``.
        - Output: ``(B, n, D)``.
    """

    def __init__(self, embedding: PatchEmbedding) -> None:
        super().__init__()
        width, height = embedding.patch_size
        weight = embedding.weight.data.unflatten(1, (height, width, -1))
        self.stride = (height, width)
        self.weight = nn.Parameter(weight.permute(0, 3, 1, 2).contiguous())
        self.bias = embedding.bias

    def forward(self, feat: Tensor) -> Tensor:
        """Cut and embed."""
        embedded = F.conv2d(feat, self.weight, self.bias, stride=self.stride)
        return embedded.flatten(2).transpose(1, 2)


class PositionedLinear(nn.Module):
    """Linear layer whose bias differs from token to token.

    Args:
        linear: Weights and bias.
        position: What is added to each token, ``(1, N, D)``.

    Shape:
        - Input: ``(B, N, in_features)``.
        - Output: ``(B, N, D)``.
    """

    def __init__(self, linear: nn.Linear, position: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.data.t().contiguous()[None])
        self.bias = nn.Parameter(linear.bias.data + position)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform and add, in one operator."""
        weight = self.weight.expand(tokens.shape[0], -1, -1)
        return torch.baddbmm(self.bias, tokens, weight)


class PositionedHead(TokenPoseHead):
    """TokenPose's head that adds to keypoint tokens and positions nothing constant.

    Made of such a head by :func:`fold_positions`; it still decodes.
    """

    keypoint_constant: Tensor
    visual_constant: Tensor
    stream_constant: Tensor | None

    def embed(self, feat: Tensor) -> Stream:
        """Keypoint and visual tokens of a map ``(B, C, H, W)``, with positions."""
        visual = self.patch_embedding(feat) + self.visual_constant
        keypoints = self.keypoint_constant.expand(feat.shape[0], -1, -1)
        return Stream(torch.cat((keypoints, visual), 1), self.stream_constant)


def _fold(head: TokenPoseHead) -> TokenPoseHead:
    joints, position = head.out_channels, head.position.data
    if head.position_type != 'learnable':
        position = F.pad(position, (0, 0, joints, 0))
    again = head.position_type == 'sine-full'
    if again and head.pruning is None:
        # Added before a layer is as good as added by the one before it.
        for encoder in head.encoders:
            for layer in encoder[:-1]:
                layer.mlp[-1] = PositionedLinear(layer.mlp[-1], position)
        again = False
    keypoints = head.keypoint_tokens.data + position[:, :joints]
    head.patch_embedding = PatchConvolution(head.patch_embedding)
    head.register_buffer('keypoint_constant', keypoints, persistent=False)
    head.register_buffer('visual_constant', position[:, joints:], persistent=False)
    head.register_buffer('stream_constant', position if again else None, False)
    head.__class__ = PositionedHead  # all else of it stays
    return head


def fold_positions(model: nn.Module) -> nn.Module:
    """Fold keypoint tokens, positions and the layout of patches into constants.

    Positions that are added before every layer are folded into the layer before, unless
    tokens are pruned on the way.

    Args:
        model: A network, rewritten in place.
    """
    return rewrite(model, {TokenPoseHead: _fold})
