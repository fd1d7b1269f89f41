"""Layouts of TokenPose's research code and of TokenPose with sparsity.

TokenPose: arXiv 2104.03516, keys of leeyegy/TokenPose. The sparse one: arXiv
2311.09653, keys of Anning-Li/Improved-TokenPose-with-Sparsity. Whether a sine table is
added once or before each layer (``sine`` or ``sine-full``), the scale of the attention
and the number of heads leave no trace in a checkpoint: the config must say them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .layout import Drop, Layout, Rename

STEM = 'conv1|bn1|conv2|bn2|layer1'
TRUNK = f'{STEM}|transition1|stage2|transition2|stage3'  # HRNet up to stage 3
FIRST_LAYER = 'layers.0.0.fn.fn.to_qkv.weight'


def is_sine_table(table: Tensor) -> bool:
    """Whether a table ``(1, tokens, width)`` is made of sines and cosines.

    Neighbouring features ``2k`` and ``2k + 1`` are then the sine and the cosine of one
    angle, so their squares add up to 1; in a learned table they do not.
    """
    if table.ndim != 3 or table.shape[-1] % 2 or not table.is_floating_point():
        return False
    pairs = table.double().unflatten(-1, (-1, 2))  # (1, tokens, width / 2, 2)
    deviation = (pairs.square().sum(-1) - 1).abs()
    # Tables may have been rounded to a smaller type.
    return bool((deviation <= max(1e-4, 4 * torch.finfo(table.dtype).eps)).all())


def trunk_rows(prefix: str, parts: str) -> tuple[Rename, ...]:
    """The trunk, whose names are those of MMPose's HRNet."""
    return (Rename(rf'{prefix}\.((?:{parts})\..+)', r'backbone.\1'),)


def encoder_rows(prefix: str, ours: str) -> tuple[Rename, ...]:
    """A stack of transformer layers: attention at index 0 of a layer, MLP at 1."""
    layer = rf'{prefix}\.layers\.(\d+)'
    both = r'\.(weight|bias)'
    return (
        Rename(rf'{layer}\.0\.fn\.norm{both}', rf'{ours}.\1.attention_norm.\2'),
        Rename(
            rf'{layer}\.0\.fn\.fn\.to_qkv\.weight', rf'{ours}.\1.attention.qkv.weight'
        ),
        Rename(rf'{layer}\.0\.fn\.fn\.to_out\.0{both}', rf'{ours}.\1.attention.out.\2'),
        Rename(rf'{layer}\.1\.fn\.norm{both}', rf'{ours}.\1.mlp_norm.\2'),
        # Upstream counts the dropout between activation and second linear map.
        Rename(rf'{layer}\.1\.fn\.fn\.net\.0{both}', rf'{ours}.\1.mlp.0.\2'),
        Rename(rf'{layer}\.1\.fn\.fn\.net\.3{both}', rf'{ours}.\1.mlp.2.\2'),
    )


def token_rows(prefix: str) -> tuple[Rename | Drop, ...]:
    """Tokens, position embedding and the MLP that makes heatmaps."""
    return (
        Rename(rf'{prefix}\.keypoint_token', 'head.keypoint_tokens'),
        Drop(
            rf'{prefix}\.pos_embedding',
            'a table of sines, computed by the model',
            when=is_sine_table,
            computed_as='head.position',
        ),
        Rename(rf'{prefix}\.pos_embedding', 'head.position'),
        Rename(
            rf'{prefix}\.patch_to_embedding\.(weight|bias)', r'head.patch_embedding.\1'
        ),
        Rename(
            rf'{prefix}\.mlp_head\.([0-3])\.(weight|bias)', r'head.heatmap_mlp.\1.\2'
        ),
    )


SMALL = (
    *trunk_rows('features', STEM),
    *token_rows('features'),
    *encoder_rows(r'features\.transformer', 'head.encoders.0'),
)
TINY = (
    *token_rows('transformer'),
    *encoder_rows(r'transformer\.transformer', 'head.encoders.0'),
)
LARGE = (
    *trunk_rows('pre_feature', TRUNK),
    *token_rows('transformer'),
    *(
        row
        for index in range(3)
        for row in encoder_rows(
            rf'transformer\.transformer{index + 1}', f'head.encoders.{index}'
        )
    ),
)
SPARSE = (
    *SMALL,
    *encoder_rows(r'features\.joint_transformer', 'head.graph_layers'),
    Drop(
        r'features\.joint_mask',
        "the model builds its joint mask from the data set's skeleton",
    ),
    Drop(
        r'features\.(?:joint_)?transformer\.norm\.(?:weight|bias)',
        "a norm that the author's code never applies",
        # 768 wide, where the tokens it would norm are 192 or 256.
        when=lambda tensor: tuple(tensor.shape) == (768,),
    ),
)

LAYOUTS = (
    Layout('TokenPose-T', (f'transformer.transformer.{FIRST_LAYER}',), TINY),
    Layout('TokenPose-S', (f'features.transformer.{FIRST_LAYER}',), SMALL),
    Layout(
        'TokenPose-B',
        ('pre_feature.conv1.weight', f'transformer.transformer.{FIRST_LAYER}'),
        (*trunk_rows('pre_feature', TRUNK), *TINY),
    ),
    Layout(
        'TokenPose-L',
        ('pre_feature.conv1.weight', f'transformer.transformer1.{FIRST_LAYER}'),
        LARGE,
    ),
    Layout(
        'TokenPose-S with sparsity',
        (
            f'features.transformer.{FIRST_LAYER}',
            f'features.joint_transformer.{FIRST_LAYER}',
        ),
        SPARSE,
        note="the author's code trained without effect of its masks and added the "
        "position table once: use all masks off and the position 'sine'",
    ),
)
