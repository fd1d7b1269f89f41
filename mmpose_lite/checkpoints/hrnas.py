"""Layout of HR-NAS's research code, supernets and shrunk networks (arXiv 2106.06560).

Keys of dingmyu/HR-NAS with its keypoint configuration. What a search left is visible
in the shapes; the config's architecture must say the same or be the supernet's.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

from .layout import Drop, Dropped, Layout, Rename

# What a searching block is called upstream, and here. A fused resolution has its own
# map's block bare and its neighbours' in a sequence; a new one has one bare block.
BLOCKS = (
    (r'features\.(\d+)\.fuse_layers\.(\d+)\.(\d+)\.0', r'features.\1.rows.\2.\3'),
    (r'features\.(\d+)\.fuse_layers\.(\d+)\.\2', r'features.\1.rows.\2.\2'),
    (r'features\.(\d+)\.fuse_layers\.\d+\.0', r'features.\1.grown.0'),
    (r'(features\.\d+\.branches\.\d+\.\d+)', r'\1'),
    (r'(transform)', r'\1'),
)
NORM = r'(?P<of>weight|bias|running_mean|running_var|num_batches_tracked)'
OP = r'ops\.(?P<op>\d+)'
SIDE = r'transformer\.(?P<side>encoder|decoder)'

# What its parts are called upstream, and here.
PARTS = (
    (rf'{OP}\.0\.0\.weight', r'ops.\g<op>.expand.conv.weight'),
    (rf'{OP}\.0\.1\.{NORM}', r'ops.\g<op>.expand.bn.\g<of>'),
    (rf'{OP}\.1\.0\.weight', r'ops.\g<op>.depthwise.conv.weight'),
    (rf'{OP}\.1\.1\.{NORM}', r'ops.\g<op>.depthwise.bn.\g<of>'),
    (rf'{OP}\.2\.weight', r'ops.\g<op>.project.weight'),
    (rf'pw_bn\.{NORM}', r'pw_bn.\g<of>'),
    (r'(?P<same>residual\.weight|constant)', r'\g<same>'),
    (r'transformer\.input_proj\.weight', 'transformer.project.weight'),
    (rf'transformer\.input_norm\.{NORM}', r'transformer.project_norm.\g<of>'),
    (
        rf'{SIDE}\.(?:self|multihead)_attn\.in_proj_weight',
        r'transformer.\g<side>.attention.qkv.weight',
    ),
    (
        rf'{SIDE}\.(?:self|multihead)_attn\.out_proj\.weight',
        r'transformer.\g<side>.attention.out.weight',
    ),
    (
        rf'{SIDE}\.(?P<part>(?:linear|norm)[12]\.(?:weight|bias))',
        r'transformer.\g<side>.\g<part>',
    ),
    (r'transformer\.query_embed\.weight', 'transformer.queries'),
    (r'transformer\.reverse_proj\.weight', 'transformer.reverse.weight'),
    (rf'transformer\.reverse_norm\.{NORM}', r'transformer.reverse_norm.\g<of>'),
)
ROWS: tuple[Rename | Drop, ...] = (
    Drop(
        r'.+\.bns\.\d+\..+',
        'norms for a distillation that the published code never applies',
    ),
    Rename(r'downsamples\.(\d)\.0\.weight', r'backbone.stem.\1.conv.weight'),
    Rename(rf'downsamples\.(\d)\.1\.{NORM}', r'backbone.stem.\1.bn.\g<of>'),
    Rename(r'classifier\.(weight|bias)', r'head.final_layer.\1'),
    *(
        Rename(rf'{block}\.{part}', rf'backbone.{ours}.{name}')
        for block, ours in BLOCKS
        for part, name in PARTS
    ),
)
UNUSED = Drop(
    r'.+\.pw_bn\..+', 'a norm without input: its block lost all its convolutions'
)


def mark_dead_blocks(
    weights: dict[str, Tensor],
) -> tuple[dict[str, Tensor], list[Dropped]]:
    """Give blocks without convolutions, which add nothing, a constant that says so."""
    norms = [key.removesuffix('.pw_bn.weight') for key in weights]
    norms = [name for name in norms if f'{name}.pw_bn.weight' in weights]
    living = {match[1] for key in weights if (match := re.match(r'(.+)\.ops\.', key))}
    dead = [name for name in norms if name not in living]
    kept, dropped = dict(weights), []
    for name in dead:
        kept[f'{name}.constant'] = torch.zeros_like(weights[f'{name}.pw_bn.weight'])
        for key in [key for key in kept if key.startswith(f'{name}.pw_bn.')]:
            dropped.append(Dropped(key, kept.pop(key), UNUSED))
    return kept, dropped


LAYOUTS = (
    Layout(
        'HR-NAS',
        ('downsamples.0.0.weight', 'transform.residual.weight', 'classifier.weight'),
        ROWS,
        prepare=mark_dead_blocks,
    ),
)
