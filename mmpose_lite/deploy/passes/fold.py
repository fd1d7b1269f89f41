"""Constants folded: batch norms, and the positions of TokenPose's tokens."""

from __future__ import annotations

from functools import partial

import torch
from mmcv.cnn import ConvModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import fuse_conv_bn_eval

from ...models.heads import TokenPoseHead
from ...models.layers import PatchEmbedding, Stream
from .modules import merge_steps, replace_modules, take_over

_CONVS = (nn.Conv2d, nn.ConvTranspose2d)


def _fold_norm(conv: nn.Module, norm: nn.Module) -> nn.Module | None:
    """The convolution with the norm in it, or None where that cannot be."""
    if not isinstance(conv, _CONVS) or not isinstance(norm, _BatchNorm):
        return None
    if norm.running_mean is None or norm.running_var is None:
        return None  # normalises by the batch, in eval mode too
    return fuse_conv_bn_eval(conv, norm, isinstance(conv, nn.ConvTranspose2d))


def _fold_group(group: ConvModule) -> nn.Module:
    """MMCV's convolution group as a plain sequence, or a lone convolution."""
    if group.order != ('conv', 'norm', 'act') or group.with_explicit_padding:
        return group
    steps = [group.conv]
    if group.with_norm:
        folded = _fold_norm(group.conv, group.norm)
        if folded is None:
            return group
        steps = [folded]
    if group.with_activation:
        steps.append(group.activate)
    return steps[0] if len(steps) == 1 else nn.Sequential(*steps)


def _fold_pairs(module: nn.Module) -> nn.Module:
    """A residual network or block of MMPose: ``conv1`` with ``norm1_name``, and on."""
    for number in range(1, 4):
        name = getattr(module, f'norm{number}_name', None)
        conv = getattr(module, f'conv{number}', None)
        if name is None or conv is None:
            continue
        folded = _fold_norm(conv, getattr(module, name))
        if folded is not None:
            setattr(module, f'conv{number}', folded)
            setattr(module, name, nn.Identity())
    return module


def fold_norms(model: nn.Module) -> nn.Module:
    """Fold batch norms after convolutions of groups, sequences and residual blocks."""
    rules = {ConvModule: _fold_group, nn.Module: _fold_pairs}
    sequences = {nn.Sequential: partial(merge_steps, merge=_fold_norm)}
    return replace_modules(model, {**rules, **sequences})


def _patch_convolution(embedding: PatchEmbedding) -> nn.Conv2d:
    """The convolution that cuts patches and embeds them."""
    columns, rows = embedding.patch_size
    weight = embedding.weight.data.unflatten(1, (rows, columns, -1))
    weight = weight.permute(0, 3, 1, 2).contiguous()
    width, channels = weight.shape[:2]
    size = (rows, columns)
    conv = nn.Conv2d(channels, width, size, stride=size, device='meta')
    conv.weight, conv.bias = nn.Parameter(weight), embedding.bias
    return conv


class PositionedLinear(nn.Module):
    """Linear layer of ``(B, N, C)`` whose bias adds a position ``(1, N, D)``."""

    def __init__(self, linear: nn.Linear, position: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.data.t().contiguous()[None])
        self.bias = nn.Parameter(linear.bias.data + position)

    def forward(self, tokens: Tensor) -> Tensor:
        """Transform and add, in one operator."""
        weight = self.weight.expand(tokens.shape[0], -1, -1)
        return torch.baddbmm(self.bias, tokens, weight)


class PositionedHead(TokenPoseHead):
    """TokenPose's head that adds nothing constant to keypoint tokens and positions."""

    keypoint_constant: Tensor
    visual_constant: Tensor
    stream_constant: Tensor | None

    def __init__(self, head: TokenPoseHead) -> None:
        take_over(self, head)
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
        self.patch_embedding = _patch_convolution(head.patch_embedding)
        self.register_buffer('keypoint_constant', keypoints, persistent=False)
        self.register_buffer('visual_constant', position[:, joints:], persistent=False)
        self.register_buffer('stream_constant', position if again else None, False)

    def embed(self, feat: Tensor) -> Stream:
        """Keypoint and visual tokens of a map ``(B, C, H, W)``, with positions."""
        patches = self.patch_embedding(feat).flatten(2).transpose(1, 2)  # (B, n, D)
        visual = patches + self.visual_constant
        keypoints = self.keypoint_constant.expand(feat.shape[0], -1, -1)
        return Stream(torch.cat((keypoints, visual), 1), self.stream_constant)


def fold_positions(model: nn.Module) -> nn.Module:
    """Fold TokenPose's tokens, positions and layout of patches into constants.

    Positions that are added before every layer are folded into the layer before, unless
    tokens are pruned on the way.
    """
    rules = {TokenPoseHead: PositionedHead, PositionedHead: lambda head: head}
    return replace_modules(model, rules)
