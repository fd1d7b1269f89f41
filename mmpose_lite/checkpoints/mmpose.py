"""Layout of MMPose 0.x, in which Lite-HRNet and X-HRNet were published.

Keys of HRNet/Lite-HRNet, cool-xuan/x-hrnet and MMPose's older files. Backbones are
named as here, and heads as in MMPose 1.x but for their first word. (MMPose's head
renames what it loads itself; files that went through here need no such help.)
"""

from __future__ import annotations

from .layout import Layout, Rename

LAYOUTS = (
    Layout(
        'MMPose 0.x: Lite-HRNet, X-HRNet',
        ('keypoint_head.final_layer.weight',),
        (
            Rename(r'(backbone\..+)', r'\1'),
            Rename(r'keypoint_head\.(final_layer\.(?:weight|bias))', r'head.\1'),
        ),
    ),
)
