"""Deterministic networks for comparisons with outputs made elsewhere."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mmpose_lite.models.backbones import LiteHRNet, XHRNet

GOLDENS = Path(__file__).parents[1] / 'goldens'
LAYOUT_ROWS = {
    'litehrnet-18': (LiteHRNet, '18'),
    'litehrnet-30': (LiteHRNet, '30'),
    'naive_litehrnet-18': (LiteHRNet, 'naive-18'),
    'wider_naive_litehrnet-18': (LiteHRNet, 'wider-naive-18'),
    'sxhrnet-18': (XHRNet, 's18'),
    'sxhrnet-30': (XHRNet, 's30'),
    'pxhrnet-18': (XHRNet, 'p18'),
    'pxhrnet-30': (XHRNet, 'p30'),
}
"""Names of the reference files to rows of our tables."""


class PoseNet(nn.Module):
    """Backbone and final layer under the keys of the official code."""

    def __init__(self, backbone: nn.Module, num_keypoints: int) -> None:
        super().__init__()
        self.backbone = backbone
        width = backbone.arch.channels[-1][0]
        self.keypoint_head = nn.Module()
        self.keypoint_head.final_layer = nn.Conv2d(width, num_keypoints, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.keypoint_head.final_layer(self.backbone(image)[0])


def build_pose_net(cls: type, arch: str, num_keypoints: int) -> PoseNet:
    """Pose network for a row of a table."""
    return PoseNet(cls(arch), num_keypoints)


def fill_from(net: nn.Module, fill) -> None:
    """Give every tensor the value ``fill(name, shape, dtype)``."""
    net.load_state_dict(
        {
            name: torch.from_numpy(np.asarray(fill(name, t.shape, t.dtype)))
            for name, t in net.state_dict().items()
        }
    )


def own_fill(name: str, shape, dtype) -> np.ndarray:
    """Value for the project's own goldens: a function of name and shape alone."""
    rng = np.random.RandomState(zlib.crc32(f'golden {name}'.encode()))
    if not dtype.is_floating_point:
        return np.zeros(tuple(shape), np.int64)
    noise = rng.uniform(-1, 1, tuple(shape))
    if name.endswith(('running_var', 'bn.weight', 'ln.weight', 'group_weight')):
        return 1 + 0.5 * noise
    if len(shape) < 2:
        return 0.2 * noise
    return noise * np.sqrt(3 / np.prod(shape[1:]))


def original_weights(shapes, fill, scale=()) -> dict[str, Tensor]:
    """Deterministic weights under the original keys, ``[suffix, factor]`` applied."""
    weights = {}
    for key, shape in shapes.items():
        counter = key.endswith('num_batches_tracked')
        value = fill.fill(key, shape, 'int64' if counter else 'float32')
        for suffix, factor in scale:
            value = value * np.float32(factor if key.endswith(suffix) else 1)
        weights[key] = torch.as_tensor(value)
    return weights


def untaught(net: nn.Module) -> list[str]:
    """Parameters whose gradient is missing, zero or not finite."""
    return [
        name
        for name, p in net.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()
    ]


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest value."""
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def check_golden(request, name: str, found: dict[str, np.ndarray]) -> None:
    """Compare outputs with those kept under ``name``, or keep them when asked to."""
    path = GOLDENS / f'{name}.npz'
    if request.config.getoption('--update-goldens'):
        np.savez_compressed(path, **{k: v.astype('float32') for k, v in found.items()})
    assert path.stat().st_size <= 50 * 1024
    golden = np.load(path)
    assert set(golden) == set(found)
    for key, value in found.items():
        assert relative_error(value, golden[key]) < 1e-6, key
