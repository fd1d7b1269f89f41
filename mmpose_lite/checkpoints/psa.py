"""Layouts of pose networks with polarized self-attention (arXiv 2107.00782).

The authors' code calls the layer ``deattn``. Their pose networks were never published;
these are the keys of the code that such networks are built in
(leoxiaobin/deep-high-resolution-net.pytorch, its ResNet included), with the layer in
the blocks.
"""

from __future__ import annotations

from .layout import Layout, Rename

STEM = r'(?:conv|bn)[12]'
HRNET = rf'{STEM}|layer1|transition[123]|stage[234]'
LAST = Rename(r'(final_layer\.(?:weight|bias))', r'head.\1')

LAYOUTS = (
    Layout(
        'HRNet with PSA',
        (
            'conv1.weight',
            'stage2.0.branches.0.0.deattn.conv_q_right.weight',
            'stage4.0.branches.0.0.deattn.conv_q_right.weight',
            'final_layer.weight',
        ),
        (Rename(rf'((?:{HRNET})\..+)', r'backbone.\1'), LAST),
    ),
    Layout(
        'ResNet with PSA',
        ('conv1.weight', 'layer1.0.deattn.conv_q_right.weight', 'final_layer.weight'),
        (
            Rename(r'((?:conv1|bn1|layer[1234])\..+)', r'backbone.\1'),
            Rename(r'(deconv_layers\..+)', r'head.\1'),
            LAST,
        ),
    ),
)
