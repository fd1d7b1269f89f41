"""Layout of PaddleDetection, in which PP-TinyPose and its Lite-HRNets were published.

Networks and arithmetic are MMPose's; only names differ. Paddle has no
``num_batches_tracked``, which a strict load asks for.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .layout import Dropped, Layout, Rename

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


def _count_batches(
    weights: dict[str, Tensor],
) -> tuple[dict[str, Tensor], list[Dropped]]:
    norms = [
        key.removesuffix('_variance') for key in weights if key.endswith('._variance')
    ]
    counters = {f'{norm}num_batches_tracked': torch.tensor(0) for norm in norms}
    return {**weights, **counters}, []


_LITE = 'backbone.stage0.0.layers.0.spatial_weighting.0.conv1.conv.weight'
_EIGHTH = 'backbone.stage1.7.layers.0.cross_resolution_weighting.conv1.norm.weight'

_NOTE = 'PP-TinyPose needs a config with its geometry (*_dark_*), others a plain one'

LAYOUTS = tuple(
    Layout(f'PaddleDetection: {name}', (*_MARKS, *marks), _ROWS, note, _count_batches)
    for name, marks, note in (
        ('wider naive Lite-HRNet', (), _NOTE),
        ('Lite-HRNet-18', (_LITE,), ''),
        ('Lite-HRNet-30', (_LITE, _EIGHTH), ''),
    )
)
