"""HR-NAS networks for tests: small spaces, upstream's weights, upstream's shrinking."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from mmpose_lite.models.backbones import HRNASNet

TINY = dict(
    num_blocks=((1,), (1, 1), (1, 1, 2)),
    channels=((4,), (4, 6), (4, 6, 8)),
    stem_channels=(3, 4),
    head_channels=6,
    expand=2,
    tokens=5,
)
"""A space small enough for double precision and gradients."""
SPREAD = [
    dict(type='Normal', std=0.3, layer='Conv2d'),
    dict(type='Xavier', layer='Linear'),
]
"""Weights large enough to be seen behind many layers."""


class NASPose(nn.Module):
    """Backbone and final layer under the keys of an MMPose estimator."""

    def __init__(self, arch=None, space='keypoint') -> None:
        super().__init__()
        self.backbone = HRNASNet(arch, space)
        self.head = nn.Module()
        width = self.backbone.space.head_channels
        self.head.final_layer = nn.Conv2d(width, 17, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head.final_layer(self.backbone(image)[0])


def upstream_shrink(
    weights: Mapping[str, Tensor], *, compensate: bool = False
) -> dict[str, Tensor]:
    """What the published shrinking leaves of a supernet's weights.

    A channel whose depthwise norm weighs at most 1e-3 goes; an operation without any
    goes, and those behind it move up. The published code has a compensation in the last
    norm's mean, switched off.
    """
    result = {key: w for key, w in weights.items() if '.ops.' not in key}
    taken: dict[str, int] = {}
    for key in sorted(key for key in weights if key.endswith('.1.1.weight')):
        match = re.fullmatch(r'(.+)\.ops\.(\d)\.1\.1\.weight', key)
        if match is None:
            continue
        block, source = match[1], f'{match[1]}.ops.{match[2]}.'
        keep = weights[key].abs() > 1e-3
        if compensate:
            emitted = weights[f'{source}1.1.bias'][~keep].double().relu()
            lost = weights[f'{source}2.weight'][:, ~keep, 0, 0].double() @ emitted
            mean = f'{block}.pw_bn.running_mean'
            result[mean] = (result[mean].double() - lost).to(result[mean].dtype)
        if not keep.any():
            continue
        target = f'{block}.ops.{taken.get(block, 0)}.'
        taken[block] = taken.get(block, 0) + 1
        for name in [name for name in weights if name.startswith(source)]:
            value, leaf = weights[name], name.removeprefix(source)
            if value.ndim:
                value = value[:, keep] if leaf == '2.weight' else value[keep]
            result[target + leaf] = value
    return result


def upstream_slice_tokens(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tokens whose norm weighs at most 1e-3 taken out, as in the specification."""
    result = dict(weights)
    for key in [key for key in weights if key.endswith('.input_norm.weight')]:
        name = key.removesuffix('input_norm.weight')
        keep = weights[key] > 1e-3
        for part in [part for part in weights if part.startswith(name)]:
            leaf, value = part.removeprefix(name), weights[part]
            if not keep.any():
                del result[part]
            elif leaf == 'reverse_proj.weight':
                result[part] = value[:, keep]
            elif leaf.startswith(('input_', 'query_embed')) and value.ndim:
                result[part] = value[keep]
    return result


def living(net: nn.Module, threshold: float = 1e-3) -> list[tuple]:
    """Per block, the masks of channels and tokens whose importance is alive."""
    return [
        (
            [op.importance.detach().abs() > threshold for op in block.ops],
            None
            if block.transformer is None
            else block.transformer.importance.detach() > threshold,
        )
        for block in net.modules()
        if type(block).__name__ == 'SearchingBlock'
    ]
