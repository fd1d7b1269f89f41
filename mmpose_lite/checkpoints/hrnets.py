"""Layouts of codebases whose networks and arithmetic are ours and only names differ."""

from __future__ import annotations

import torch
from torch import Tensor

from .layout import Dropped, Layout, Rename

# Keys of HRNet/Lite-HRNet, cool-xuan/x-hrnet and MMPose's older files. (MMPose's head
# renames what it loads itself; files that went through here need no such help.)
MMPOSE = Layout(
    'MMPose 0.x: Lite-HRNet, X-HRNet',
    ('keypoint_head.final_layer.weight',),
    (
        Rename(r'(backbone\..+)', r'\1'),
        Rename(r'keypoint_head\.(final_layer\.(?:weight|bias))', r'head.\1'),
    ),
)

# Polarized self-attention (arXiv 2107.00782), which the authors' code calls `deattn`.
# Their pose networks were never published; these are the keys of the code that such
# networks are built in (leoxiaobin/deep-high-resolution-net.pytorch, its ResNet
# included), with the layer in the blocks.
_LAST = Rename(r'(final_layer\.(?:weight|bias))', r'head.\1')
PSA = (
    Layout(
        'HRNet with PSA',
        (
            'conv1.weight',
            'stage2.0.branches.0.0.deattn.conv_q_right.weight',
            'stage4.0.branches.0.0.deattn.conv_q_right.weight',
            'final_layer.weight',
        ),
        (
            Rename(
                r'((?:(?:conv|bn)[12]|layer1|transition[123]|stage[234])\..+)',
                r'backbone.\1',
            ),
            _LAST,
        ),
    ),
    Layout(
        'ResNet with PSA',
        ('conv1.weight', 'layer1.0.deattn.conv_q_right.weight', 'final_layer.weight'),
        (
            Rename(r'((?:conv1|bn1|layer[1234])\..+)', r'backbone.\1'),
            Rename(r'(deconv_layers\..+)', r'head.\1'),
            _LAST,
        ),
    ),
)


# PaddleDetection, in which PP-TinyPose and its Lite-HRNets were published.
_ROWS = (
    Rename(r'final_conv\.(weight|bias)', r'head.final_layer.\1'),
    Rename(r'(backbone\..+)\.norm\.(weight|bias|num_batches_tracked)', r'\1.bn.\2'),
    Rename(r'(backbone\..+)\.norm\._mean', r'\1.bn.running_mean'),
    Rename(r'(backbone\..+)\.norm\._variance', r'\1.bn.running_var'),
    Rename(r'(backbone\..+)\._mean', r'\1.running_mean'),
    Rename(r'(backbone\..+)\._variance', r'\1.running_var'),
    Rename(r'(backbone\..+\.(?:weight|bias|num_batches_tracked))', r'\1'),
)
_MARKS = ('final_conv.weight', 'backbone.stem.conv1.norm._variance')
_LITE = 'backbone.stage0.0.layers.0.spatial_weighting.0.conv1.conv.weight'
_EIGHTH = 'backbone.stage1.7.layers.0.cross_resolution_weighting.conv1.norm.weight'
_NOTE = 'PP-TinyPose needs a config with its geometry (*_dark_*), others a plain one'


def _count_batches(
    weights: dict[str, Tensor],
) -> tuple[dict[str, Tensor], list[Dropped]]:
    """Add ``num_batches_tracked``, which Paddle lacks and a strict load asks for."""
    norms = [
        key.removesuffix('_variance') for key in weights if key.endswith('._variance')
    ]
    counters = {f'{norm}num_batches_tracked': torch.tensor(0) for norm in norms}
    return {**weights, **counters}, []


PADDLE = tuple(
    Layout(f'PaddleDetection: {name}', (*_MARKS, *marks), _ROWS, note, _count_batches)
    for name, marks, note in (
        ('wider naive Lite-HRNet', (), _NOTE),
        ('Lite-HRNet-18', (_LITE,), ''),
        ('Lite-HRNet-30', (_LITE, _EIGHTH), ''),
    )
)
