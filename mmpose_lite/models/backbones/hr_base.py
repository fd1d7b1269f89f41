"""The one high-resolution skeleton: stem, transitions, modules, fusion, iterative head.

HRNet (arXiv 1902.09212) with the depthwise units of Lite-HRNet (arXiv 2104.06403). A
family passes in what differs: its units, its stem's names, its transition activation.
Attribute names are the published checkpoint keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from mmcv.cnn import DepthwiseSeparableConvModule
from mmpose.models.backbones.base_backbone import BaseBackbone
from torch import Tensor, nn

from ...checks import (
    FLAG,
    NOTHING,
    Rule,
    blaming,
    check,
    check_fields,
    each,
    one_of,
    record_of,
    whole,
)
from ..layers import (
    checkpoint_keeping_stats,
    conv_norm,
    depthwise_pointwise,
    halves,
    interleave,
    norm_layer,
)
from ..layers.config_rules import INIT_CFG, NORM_CFG
from .borrowed import ReturnsItself

MakeLayers = Callable[[Sequence[int], int, dict], nn.Module]
"""``(channels, num_blocks, norm_cfg)`` to a module from a list of maps to like maps."""

LITE_WIDTHS = ((40, 80), (40, 80, 160), (40, 80, 160, 320))
"""Widths per stage of Lite-HRNet and, after it, of X-HRNet."""
OPTIONS = dict(
    in_channels=whole(1),
    norm_cfg=NOTHING | NORM_CFG,
    norm_eval=FLAG,
    frozen_stages=whole(-1),
    with_cp=FLAG,
    with_head=FLAG,
    init_cfg=INIT_CFG,
)
"""What a family's class passes on to :class:`HRBackbone`."""

_EVEN = Rule(
    'an even number of at least 2, as half of the channels pass unchanged',
    lambda value: whole(2).problem(value) is None and value % 2 == 0,
)


@dataclass(frozen=True)
class HRArch:
    """One row of a family's table: everything that sets its members apart.

    Attributes:
        unit: Name of the block, a key of the family's unit table.
        channels: Per stage, the width of each resolution, high to low.

    Raises:
        ValueError: If the rows disagree in length or a width is odd or not positive.
    """

    unit: str
    num_modules: tuple[int, ...]
    channels: tuple[tuple[int, ...], ...]
    num_blocks: int = 2
    stem_channels: int = 32

    def __post_init__(self) -> None:
        check_fields('arch', self, channels=each(each(_EVEN)), stem_channels=_EVEN)
        if not self.channels or len(self.num_modules) != len(self.channels):
            raise ValueError(
                'arch needs one entry per stage in num_modules and channels, got '
                f'{len(self.num_modules)} and {len(self.channels)}'
            )
        lengths = [len(c) for c in self.channels]
        if lengths != sorted(lengths) or lengths[0] < 1:
            raise ValueError(
                f'arch channels must keep or add resolutions from stage to stage, got '
                f'{lengths} resolutions'
            )

    @property
    def stride(self) -> int:
        """Pixels of the input per pixel of the lowest resolution."""
        return 4 * 2 ** (len(self.channels[-1]) - 1)


def resolve_arch(
    arch: str | Mapping, table: Mapping[str, HRArch], units: Mapping[str, object]
) -> HRArch:
    """Row named ``arch``, or a row of one's own from a dict of its fields."""
    row = record_of('arch', HRArch, arch, table)
    check("arch['unit']", row.unit, one_of(*units))
    return row


class Stem(nn.Module):
    """Two stride-2 steps; the second works on the channel halves in two ways.

    Args:
        branch_names: Names of the second branch's children: one name for a sequence of
            the three convolutions, or a name for each.

    Shape:
        - Input: ``(B, in_channels, H, W)``.
        - Output: ``(B, C, H / 4, W / 4)``.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        branch_names: Sequence[str],
        norm_cfg: dict,
    ) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = conv_norm(in_channels, channels, 3, stride=2, norm_cfg=norm_cfg)
        down = dict(stride=2, depthwise=True, act=None, norm_cfg=norm_cfg)
        self.branch1 = nn.Sequential(
            conv_norm(half, half, 3, **down),
            conv_norm(half, half, 1, norm_cfg=norm_cfg),
        )
        second = [
            conv_norm(half, channels, 1, norm_cfg=norm_cfg),
            conv_norm(channels, channels, 3, **down),
            conv_norm(channels, half, 1, norm_cfg=norm_cfg),
        ]
        if len(branch_names) == 1:
            second = [nn.Sequential(*second)]
        self.branch_names = tuple(branch_names)
        for name, module in zip(branch_names, second, strict=True):
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        """Image to the stride-4 map."""
        first, second = halves(self.conv1(x))
        for name in self.branch_names:
            second = getattr(self, name)(second)
        return interleave(self.branch1(first), second)


def make_transition(
    before: Sequence[int], after: Sequence[int], *, relu: bool, norm_cfg: dict
) -> nn.ModuleList:
    """Modules from the maps of one stage to those of the next.

    Module j reads map j; where there is none yet, the lowest resolution. A map that
    keeps its width passes unchanged.
    """
    options = dict(relu=relu, norm_cfg=norm_cfg)
    modules: list[nn.Module] = []
    for j, width in enumerate(after):
        if j >= len(before):
            widths = [before[-1]] * (j - len(before) + 1) + [width]
            steps = (
                depthwise_pointwise(a, b, stride=2, **options)
                for a, b in pairwise(widths)
            )
            modules.append(nn.Sequential(*steps))
        elif width == before[j]:
            modules.append(nn.Identity())
        else:
            modules.append(depthwise_pointwise(before[j], width, stride=1, **options))
    return nn.ModuleList(modules)


def make_fuse_path(
    channels: Sequence[int], source: int, target: int, norm_cfg: dict
) -> nn.Module:
    """Path f_ij from resolution j (``source``) to i (``target``) of a fusion."""
    start, end = channels[source], channels[target]
    if source > target:
        return nn.Sequential(
            nn.Conv2d(start, end, 1, bias=False),
            norm_layer(norm_cfg, end),
            nn.Upsample(scale_factor=2 ** (source - target), mode='nearest'),
        )
    if source == target:
        return nn.Sequential()
    options = dict(stride=2, norm_cfg=norm_cfg)
    steps = [
        depthwise_pointwise(start, start, relu=True, **options)
        for _ in range(target - source - 1)
    ]
    return nn.Sequential(*steps, depthwise_pointwise(start, end, relu=False, **options))


class HRModule(nn.Module):
    r"""Blocks on every resolution, then an exchange between all of them.

    The published fusion adds in place onto the highest resolution o_0, and trained
    weights depend on what follows from it. With f_ij the path from resolution j to i
    and f_ii the identity, it computes

    .. math::
        o_0^* = 2 o_0 + \textstyle\sum_{j \ge 1} f_{0j}(o_j), \qquad
        y_0 = \mathrm{ReLU}(o_0^*), \qquad
        y_i = \mathrm{ReLU}(2 f_{i0}(o_0^*) + \textstyle\sum_{j \ge 1} f_{ij}(o_j)),

    that is, o_0 and f_i0 count twice, and f_i0 sees the fused map before its ReLU. In
    training f_i0 really runs twice: its batch norms then count each batch twice.

    Shape:
        - Input, output: list of ``(B, channels[i], H / 2^i, W / 2^i)``.
    """

    def __init__(
        self, channels: Sequence[int], layers: nn.Module, norm_cfg: dict
    ) -> None:
        super().__init__()
        self.layers = layers
        indices = range(len(channels))
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(make_fuse_path(channels, j, i, norm_cfg) for j in indices)
            for i in (indices if len(channels) > 1 else ())
        )

    def forward(self, feats: list[Tensor]) -> list[Tensor]:
        """Blocks and fusion."""
        feats = self.layers(feats)
        return self.fuse(feats) if len(feats) > 1 else feats

    def fuse(self, feats: list[Tensor]) -> list[Tensor]:
        """Exchange between the resolutions (formulas above)."""
        top = feats[0] + feats[0]
        for path, feat in zip(self.fuse_layers[0][1:], feats[1:], strict=True):
            top = top + path(feat)
        fused = [top]
        for paths in self.fuse_layers[1:]:
            down = paths[0](top)
            total = down + (paths[0](top) if self.training else down)
            for path, feat in zip(paths[1:], feats[1:], strict=True):
                total = total + path(feat)
            fused.append(total)
        return [F.relu(feat) for feat in fused]


class IterativeHead(nn.Module):
    """Lowest resolution to highest, one depthwise-separable step at a time.

    y_0 = P_0(x_last); y_q = P_q(x + bilinear(y_{q-1})), with aligned corners.

    Shape:
        - Input: list of ``(B, channels[i], H / 2^i, W / 2^i)``.
        - Output: ``(B, channels[0], H, W)``.
    """

    def __init__(self, channels: Sequence[int], norm_cfg: dict) -> None:
        super().__init__()
        widths = [*reversed(channels), channels[0]]
        options = dict(norm_cfg=norm_cfg, dw_act_cfg=None, pw_act_cfg=dict(type='ReLU'))
        with blaming('norm_cfg', norm_cfg):
            self.projects = nn.ModuleList(
                DepthwiseSeparableConvModule(start, end, 3, padding=1, **options)
                for start, end in pairwise(widths)
            )

    def forward(self, feats: list[Tensor]) -> Tensor:
        """Add each map to the up-sampled result of the ones below it."""
        result = self.projects[0](feats[-1])
        for project, feat in zip(self.projects[1:], feats[-2::-1], strict=True):
            lifted = F.interpolate(
                result, size=feat.shape[-2:], mode='bilinear', align_corners=True
            )
            result = project(feat + lifted)
        return result


class HRBackbone(ReturnsItself, BaseBackbone):
    """The skeleton; a family is a subclass that passes in what differs.

    Args:
        make_layers: Factory of a module's blocks.
        stem_branch: Names of the stem's second branch, see :class:`Stem`.
        transition_relu: Whether transitions end in a ReLU.
        norm_cfg: Norm as MMPose configs write it; ``dict(type='BN')`` if None.
        norm_eval: Keep batch norms in eval mode while training.
        frozen_stages: What gets no gradient: -1 nothing, 0 the stem, k the stem and the
            first k stages with their transitions.
        with_cp: Recompute every module's activations in backward instead of storing
            them: less memory, more time, same gradients and statistics.
        with_head: Whether the iterative head merges the maps into the highest
            resolution; without it all maps are returned.
        init_cfg: MMEngine initialisation; the published one if None (normal with
            standard deviation 0.001, norms 1 and 0).

    Shape:
        - Input: ``(B, in_channels, H, W)``, H and W multiples of the largest stride
          (32 with four resolutions).
        - Output: tuple of ``(B, C_0, H / 4, W / 4)``, or of every resolution, high to
          low, without head.

    Raises:
        ValueError: If an argument is out of range, or an input's size is not a multiple
            of the largest stride (the message gives the nearest sizes that are).
    """

    def __init__(
        self,
        arch: HRArch,
        make_layers: MakeLayers,
        *,
        stem_branch: Sequence[str],
        transition_relu: bool,
        in_channels: int = 3,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        frozen_stages: int = -1,
        with_cp: bool = False,
        with_head: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = [
                dict(type='Normal', std=0.001, layer='Conv2d'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'GroupNorm']),
            ]
        super().__init__(init_cfg=init_cfg)
        check('frozen_stages', frozen_stages, whole(-1, len(arch.channels)))
        norm_cfg = dict(type='BN') if norm_cfg is None else norm_cfg
        self.arch = arch
        self.norm_eval = norm_eval
        self.frozen_stages = frozen_stages
        self.with_cp = with_cp
        self.stem = Stem(in_channels, arch.stem_channels, stem_branch, norm_cfg)
        before: Sequence[int] = (arch.stem_channels,)
        for t, after in enumerate(arch.channels):
            transition = make_transition(
                before, after, relu=transition_relu, norm_cfg=norm_cfg
            )
            layers = partial(make_layers, after, arch.num_blocks, norm_cfg)
            stage = [
                HRModule(after, layers(), norm_cfg) for _ in range(arch.num_modules[t])
            ]
            self.add_module(f'transition{t}', transition)
            self.add_module(f'stage{t}', nn.Sequential(*stage))
            before = after
        self.head_layer = IterativeHead(before, norm_cfg) if with_head else None
        self._freeze_stages()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image to feature maps."""
        self._check_size(*x.shape[-2:])
        feats = [self.stem(x)]
        for t in range(len(self.arch.channels)):
            transition = self.get_submodule(f'transition{t}')
            last = len(feats) - 1  # new resolutions grow from the lowest one
            feats = [step(feats[min(j, last)]) for j, step in enumerate(transition)]
            for module in self.get_submodule(f'stage{t}'):
                if self.with_cp and module.training and torch.is_grad_enabled():
                    feats = checkpoint_keeping_stats(module, feats)
                else:
                    feats = module(feats)
        return tuple(feats) if self.head_layer is None else (self.head_layer(feats),)

    def train(self, mode: bool = True) -> HRBackbone:
        """Set the mode; frozen stages and, with ``norm_eval``, norms stay in eval."""
        super().train(mode)
        self._freeze_stages()
        return self

    def _freeze_stages(self) -> None:
        frozen = ['stem'] if self.frozen_stages >= 0 else []
        for t in range(self.frozen_stages):
            frozen += [f'transition{t}', f'stage{t}']
        for name in frozen:
            self.get_submodule(name).eval().requires_grad_(False)

    def _check_size(self, height: int, width: int) -> None:
        stride = self.arch.stride
        if height % stride == 0 and width % stride == 0:
            return
        good = [
            sorted({max(size // stride, 1) * stride, -(-size // stride) * stride})
            for size in (height, width)
        ]
        raise ValueError(
            f'input size {height}x{width} (H x W) must be a multiple of {stride} on '
            f'both sides; nearest: H {" or ".join(map(str, good[0]))}, '
            f'W {" or ".join(map(str, good[1]))}'
        )
