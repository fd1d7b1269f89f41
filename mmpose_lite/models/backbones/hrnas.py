"""HR-NAS for pose (arXiv 2106.06560): supernet and searched network in one class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmpose.models.backbones.base_backbone import BaseBackbone
from torch import Tensor, nn

from ...checks import ANY, NOTHING, check, checked, each, shown, whole
from ...registry import register_model
from ..layers import SearchingBlock, conv_norm
from ..layers.config_rules import BATCH_NORM_CFG, INIT_CFG
from .borrowed import ReturnsItself
from .hrnas_arch import (
    HEADER,
    BlockArch,
    Place,
    SearchSpace,
    full_arch,
    fuse_sources,
    infer_arch,
    parse_arch,
    places,
    read_arch,
    resolve_space,
)


class FuseModule(nn.Module):
    """Exchange between neighbouring resolutions, then new ones below the lowest.

    Fused map i is the ReLU of the sum of paths from i - 1, i and i + 1, in this order;
    paths from below are resized after their block. A new resolution grows from the
    fused map above it, without a ReLU of its own.

    Shape:
        - Input: list of ``(B, C_i, H / 2^i, W / 2^i)``, one per resolution.
        - Output: the same with the widths of the next stage.
    """

    def __init__(
        self, before: int, after: int, blocks: Iterator[SearchingBlock]
    ) -> None:
        super().__init__()
        self.rows = nn.ModuleList(
            nn.ModuleDict({str(j): next(blocks) for j in sources})
            for sources in fuse_sources(before, after)
        )
        self.grown = nn.ModuleList(next(blocks) for _ in range(before, after))

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Fuse, then grow."""
        fused: list[Tensor] = []
        for i, row in enumerate(self.rows):
            total: Tensor | None = None
            for source, block in row.items():
                term = block(feats[int(source)])
                if int(source) > i:
                    term = F.interpolate(term, scale_factor=2.0, mode='nearest')
                if total is not None and term.shape != total.shape:
                    term = F.interpolate(
                        term, total.shape[-2:], mode='bilinear', align_corners=False
                    )
                total = term if total is None else total + term
            assert total is not None
            fused.append(F.relu(total))
        for block in self.grown:
            fused.append(block(fused[-1]))
        return fused


class ParallelModule(nn.Module):
    """A row of searching blocks on every resolution.

    Shape:
        - Input, output: list of ``(B, C_i, H / 2^i, W / 2^i)``.
    """

    def __init__(self, counts: Sequence[int], blocks: Iterator[SearchingBlock]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(next(blocks) for _ in range(count))) for count in counts
        )

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Every resolution on its own."""
        return [branch(feat) for branch, feat in zip(self.branches, feats, strict=True)]


@register_model
class HRNASNet(ReturnsItself, BaseBackbone):
    """High-resolution network of searching blocks.

    Its last block, which merges all resolutions, can be searched like the others, so
    the head is MMPose's ``HeatmapHead`` with a 1x1 final layer and nothing else.
    Weights of any architecture of the space load into a supernet: it takes on the form
    that their shapes tell.

    Args:
        arch: None for the supernet; a searched architecture as list of blocks, as
            mapping with ``blocks`` and ``space``, or as path of a JSON file with either
            (see :mod:`~mmpose_lite.models.backbones.hrnas_arch`).
        space: A row of ``SPACES`` (``'keypoint'``, ``'mini'``), a dict of
            :class:`SearchSpace` fields, or ``dict(base=row, **changes)``. None takes
            that of ``arch``, or ``'keypoint'``.
        norm_cfg: Batch norm as MMPose configs write it, with a weight per channel.
        norm_eval: Keep batch norms in eval mode while training.
        channels_last: Compute with channels innermost in memory: on CPUs a training
            step takes about half the time.
        init_cfg: MMEngine initialisation; the published one if None (convolutions
            normal with standard deviation 0.001, other matrices Xavier uniform).

    Shape:
        - Input: ``(B, 3, H, W)``.
        - Output: tuple of ``(B, head_channels, ceil(H / 4), ceil(W / 4))``.

    Raises:
        ValueError: If an argument is not allowed, ``arch`` does not fit the space, or
            weights have another architecture than ``arch`` says.

    Example:
        >>> import torch
        >>> from mmpose_lite.models.backbones import HRNASNet
        >>> feats = HRNASNet(space='mini')(torch.rand(1, 3, 64, 64))
        >>> [tuple(feat.shape) for feat in feats]
        [(1, 16, 16, 16)]
    """

    @checked(arch=ANY, space=ANY, norm_cfg=NOTHING | BATCH_NORM_CFG, init_cfg=INIT_CFG)
    def __init__(
        self,
        arch: str | os.PathLike[str] | Mapping | Sequence | None = None,
        space: str | Mapping | None = None,
        *,
        norm_cfg: dict | None = None,
        norm_eval: bool = False,
        channels_last: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        if init_cfg is None:
            init_cfg = [
                dict(type='Normal', std=0.001, layer='Conv2d'),
                dict(type='Constant', val=1, layer=['_BatchNorm', 'LayerNorm']),
                dict(type='Xavier', distribution='uniform', layer='Linear'),
            ]
        super().__init__(init_cfg=init_cfg)
        norm_cfg = dict(type='BN') if norm_cfg is None else norm_cfg
        self.norm_eval = norm_eval
        self.channels_last = channels_last
        self.is_searched = arch is not None
        self.space, given = resolve_arch(arch, space)
        self.places: tuple[Place, ...] = tuple(places(self.space))
        blocks = (
            SearchingBlock(
                place.in_channels,
                place.out_channels,
                place.stride,
                **vars(block),
                norm_cfg=norm_cfg,
            )
            for place, block in zip(self.places, given, strict=True)
        )
        first, second = self.space.stem_channels
        self.stem = nn.Sequential(
            conv_norm(3, first, 3, stride=2, norm_cfg=norm_cfg),
            conv_norm(first, second, 3, stride=2, norm_cfg=norm_cfg),
        )
        self.features = nn.ModuleList()
        before = 1
        for counts in self.space.num_blocks:
            self.features.append(FuseModule(before, len(counts), blocks))
            self.features.append(ParallelModule(counts, blocks))
            before = len(counts)
        self.transform = next(blocks)
        self.register_load_state_dict_pre_hook(_take_on_shapes)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Image to the merged map of the highest resolution."""
        if self.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        feats: list[Tensor] = [self.stem(x)]
        for module in self.features:
            feats = module(feats)
        size = feats[0].shape[-2:]
        lifted = [
            F.interpolate(feat, size, mode='bilinear', align_corners=False)
            for feat in feats[1:]
        ]
        return (self.transform(torch.cat((feats[0], *lifted), 1)),)

    def named_blocks(self) -> list[tuple[str, SearchingBlock]]:
        """Name and block of every place, in block order."""
        return [
            (name, module)
            for name, module in self.named_modules()
            if isinstance(module, SearchingBlock)
        ]

    @property
    def arch(self) -> list[BlockArch]:
        """What is left of every block now."""
        return [
            BlockArch(block.kernels, block.channels, block.tokens)
            for _, block in self.named_blocks()
        ]

    def reshape(self, arch: Sequence[BlockArch]) -> None:
        """Take on an architecture, to load weights into; values are not kept."""
        pairs = zip(self.named_blocks(), self.arch, arch, strict=True)
        for (_, block), now, then in pairs:
            if now != then:
                block.reshape(**vars(then))
        if self.norm_eval:  # new norms are in the mode of their block
            self.train(self.training)


def resolve_arch(
    arch: str | os.PathLike[str] | Mapping | Sequence | None,
    space: str | Mapping | None,
) -> tuple[SearchSpace, list[BlockArch]]:
    """Space and blocks that the arguments of :class:`HRNASNet` mean."""
    if isinstance(arch, str | os.PathLike):
        arch = read_arch(arch)
    found: Any = None
    if isinstance(arch, Mapping):
        if not {'blocks'} <= set(arch) <= {'blocks', 'space', 'type', 'input_size'}:
            raise ValueError(
                "arch as a mapping needs 'blocks' and may have 'space', 'type' and "
                f"'input_size', got the keys {sorted(arch)}"
            )
        if arch.get('type', HEADER) != HEADER:
            raise ValueError(f'arch has the type {arch["type"]!r}, not {HEADER!r}')
        size = arch.get('input_size')
        check("arch['input_size']", size, NOTHING | each(whole(1), 2))
        found, arch = arch.get('space'), arch['blocks']
    wanted = (found, 'keypoint') if space is None else (space,)
    resolved = resolve_space(next(s for s in wanted if s is not None))
    if found is not None and resolve_space(found) != resolved:
        raise ValueError(
            f'space {space!r} is not the one that arch was found in: {found!r}'
        )
    if arch is None:
        return resolved, full_arch(resolved)
    if not isinstance(arch, Sequence):
        raise ValueError(
            'arch must be None, a path, a mapping or a list of blocks, got '
            f'{type(arch).__name__}: {shown(arch)}'
        )
    return resolved, parse_arch(resolved, arch)


def _take_on_shapes(
    net: HRNASNet, state_dict: Mapping[str, Tensor], prefix: str, *_: object
) -> None:
    """Before weights are loaded: take on the architecture that their shapes tell."""
    names = [prefix + name for name, _ in net.named_blocks()]
    stored = infer_arch(state_dict, names)
    own = net.arch
    if stored is None or stored == own:
        return
    if net.is_searched:
        differing = [
            f'\n  {name}: config {mine}, weights {theirs}'
            for name, mine, theirs in zip(names, own, stored, strict=True)
            if mine != theirs
        ]
        raise ValueError(
            f'the weights have another architecture than arch says, in '
            f'{len(differing)} blocks:{"".join(differing)}'
        )
    net.reshape(stored)
