"""Pictures of HR-NAS networks: what the search left of every block."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle, Wedge

from ..models.backbones.hrnas_arch import (
    BlockArch,
    SearchSpace,
    full_arch,
    fuse_sources,
)
from .figure import rendered

Point = tuple[float, float]

ROW = 2.0  # height of a resolution
_STEP = 0.95  # width of a block in a row of them
_STEM = 1.3
_CROSSING = 2.5  # width of a fuse module with more than one resolution
_GROWTH = 1.2  # width of a new resolution's block
_TURN = 0.35  # where on a path to another resolution its block stands
_OWN = 0.63  # and on the path within a resolution

_UNIT = 0.62  # inches
_DPI = 130
_RADIUS = 0.31  # of a block that lost nothing
_RING = (0.36, 0.42)
# By kernel size, told apart by people who confuse colours too.
_COLOURS = ('#0072b2', '#e69f00', '#b5446e', '#56b4e9', '#777777')
_QUERIES = '#00795a'
_INK, _GREY, _LINE, _BAND = '#222222', '#6b7280', '#b6bcc6', '#f3f4f7'
_WIDTH = 13.5  # units, what the legend needs
_LEFT, _TOP, _BOTTOM = 1.5, 2.1, 2.75  # units beside, above and below the network


@dataclass
class Layout:
    """Places in a picture of depth by resolution, x to the right and y down.

    Attributes:
        blocks: Centre of every block, in block order.
        stages: Extent along x of each stage's rows of blocks, and their number.
        widths: Where the width of a resolution is written, and what.
    """

    blocks: list[Point] = field(default_factory=list)
    links: list[tuple[Point, Point]] = field(default_factory=list)
    sums: list[Point] = field(default_factory=list)
    fuses: list[float] = field(default_factory=list)
    stages: list[tuple[float, float, int]] = field(default_factory=list)
    widths: list[tuple[float, float, int]] = field(default_factory=list)
    end: float = 0.0

    def link(self, start: Point, end: Point, *shares: float) -> None:
        """Add a path, and a block at each share of it."""
        self.links.append((start, end))
        self.blocks += [_along(start, end, share) for share in shares]


def _along(start: Point, end: Point, share: float) -> Point:
    """Point of a path that is level where it begins and ends."""
    bend = share * share * (3 - 2 * share)
    (left, top), (right, bottom) = start, end
    return left + share * (right - left), top + bend * (bottom - top)


def lay_out(space: SearchSpace) -> Layout:
    """Places for all blocks of a space, from the stem to the merged map."""
    layout = Layout()
    layout.link((0, 0), (_STEM, 0))
    x, before = _STEM, 1
    for counts, widths in zip(space.num_blocks, space.channels, strict=True):
        # A fuse module, which makes new resolutions out of the lowest one.
        after = len(counts)
        end = x + (_CROSSING if before > 1 else _STEP)
        begin = end + (_GROWTH if after > before else 0.3)
        layout.fuses.append((x + end) / 2)
        for i, sources in enumerate(fuse_sources(before, after)):
            for j in sources:
                own = _OWN if before > 1 else 0.5
                share = own if i == j else _TURN
                layout.link((x, j * ROW), (end, i * ROW), share)
            if len(sources) > 1:
                layout.sums.append((end, i * ROW))
            layout.link((end, i * ROW), (begin, i * ROW))
        for i in range(before, after):
            layout.link((end, (i - 1) * ROW), (begin, i * ROW), 0.6)
        # Rows of blocks.
        x = begin + max(counts) * _STEP + 0.1
        for i, (count, width) in enumerate(zip(counts, widths, strict=True)):
            shares = [(k + 0.5) / count for k in range(count)]
            layout.link((begin, i * ROW), (x, i * ROW), *shares)
            layout.widths.append((begin, i * ROW, width))
        layout.stages.append((begin, x, after))
        before = after
    merged = x + (_GROWTH if before > 1 else 0.2)
    for i in range(before):
        layout.link((x, i * ROW), (merged, 0))
    layout.end = merged + 2 * _STEP
    layout.link((merged, 0), (layout.end, 0), 0.5)
    return layout


def draw_architecture(
    space: SearchSpace,
    arch: Sequence[BlockArch],
    title: str = 'HR-NAS',
    subtitle: str = '',
    image_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Picture of resolutions below each other, blocks from left to right.

    A block is a disc with a sector for each kernel size; the coloured part of a
    sector's area is the share of hidden channels that is left. The ring around it is
    the share of queries. A block that lost everything is hollow.

    Args:
        image_size: Height and width of the image in pixels, to name the maps' sizes.

    Returns:
        ``(H, W, 3)``, ``uint8`` BGR.

    Raises:
        ValueError: If ``arch`` is not of ``space``.
    """
    full = full_arch(space)
    if len(arch) != len(full):
        raise ValueError(f'arch must have {len(full)} blocks, got {len(arch)}')
    layout = lay_out(space)
    rows = max(map(len, space.channels))
    width = _LEFT + max(layout.end + 1.2, _WIDTH)
    height = _TOP + (rows - 1) * ROW + _BOTTOM
    figure = Figure((width * _UNIT, height * _UNIT), dpi=_DPI)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(xlim=(-_LEFT, width - _LEFT), ylim=(height - _TOP, -_TOP), aspect='equal')
    axis.set_axis_off()
    _text(axis, -1.15, -1.6, title, 13, weight='bold')
    _text(axis, -1.15, -1.18, subtitle, 9.5, color=_GREY)
    for i in range(rows):
        stride = 2 ** (i + 2)
        _text(axis, -1.15, i * ROW, f'1/{stride}', 10, weight='bold')
        if image_size is not None:
            h, w = (-(-side // stride) for side in image_size)
            _text(axis, -1.15, i * ROW + 0.32, f'{h}x{w}', 7, color=_GREY)
    _draw_paths(axis, layout)
    for centre, whole, left in zip(layout.blocks, full, arch, strict=True):
        _draw_block(axis, centre, whole, left)
    _draw_legend(axis, (rows - 1) * ROW + 1.75, full, arch)
    return rendered(figure)


def _text(
    axis: Axes, x: float, y: float, text: str, size: float = 8, **options: Any
) -> None:
    axis.text(x, y, text, size=size, va='center', **{'color': _INK, **options})


def _draw_paths(axis: Axes, layout: Layout) -> None:
    """Bands of the stages, stem, paths and sums."""
    middle: dict[str, Any] = dict(ha='center', color=_GREY)
    for number, (start, end, levels) in enumerate(layout.stages, 1):
        band = (start, -0.62), end - start, (levels - 1) * ROW + 1.24
        axis.add_patch(Rectangle(*band, color=_BAND, lw=0, zorder=0))
        _text(axis, (start + end) / 2, -0.8, f'stage {number}', **middle)
    for x in layout.fuses:
        _text(axis, x, -0.8, 'fuse', **middle)
    for x, y, channels in layout.widths:
        _text(axis, x + 0.05, y - 0.5, f'{channels} ch', 6.5, color=_GREY)
    for link in layout.links:
        points = [_along(*link, share) for share in np.linspace(0, 1, 40)]
        axis.plot(*zip(*points, strict=True), color=_LINE, lw=1.3, zorder=1)
    stem = [(0.2, -0.3), (0.75, -0.16), (0.75, 0.16), (0.2, 0.3)]
    axis.add_patch(Polygon(stem, color='#d5d9e0', zorder=2))
    _text(axis, 0.47, 0, 'stem', 6, ha='center')
    for x, y in layout.sums:
        axis.add_patch(Circle((x, y), 0.12, fc='white', ec=_GREY, lw=1, zorder=3))
        _text(axis, x, y, '+', 7, zorder=4, **middle)
    x = layout.end - 2 * _STEP
    axis.add_patch(Rectangle((x - 0.05, -0.3), 0.1, 0.6, color=_GREY, zorder=3))
    _text(axis, x, -0.45, 'concat', 6.5, **middle)
    _text(axis, layout.end + 0.1, 0, 'head')


def _draw_block(axis: Axes, centre: Point, whole: BlockArch, left: BlockArch) -> None:
    if not left.channels and not left.tokens:
        hollow: Any = dict(fc='white', ec=_GREY, lw=1, ls=(0, (2, 1.5)), zorder=5)
        axis.add_patch(Circle(centre, _RADIUS * 0.62, **hollow))
        return
    halo = _RING[1] if whole.tokens else _RADIUS
    axis.add_patch(Circle(centre, halo + 0.02, fc='white', lw=0, zorder=4))

    def wedge(radius: float, start: float, angle: float, **look: Any) -> None:
        # y points down: from the top, clockwise.
        axis.add_patch(Wedge(centre, radius, start - 90, start + angle - 90, **look))

    kept = dict(zip(left.kernels, left.channels, strict=True))
    angle = 360 / len(whole.kernels)
    sectors = zip(whole.kernels, whole.channels, _COLOURS, strict=False)
    for i, (kernel, count, colour) in enumerate(sectors):
        radius = _RADIUS * math.sqrt(min(kept.get(kernel, 0) / count, 1))
        wedge(_RADIUS, angle * i, angle, fc=colour, alpha=0.16, zorder=5)
        wedge(radius, angle * i, angle, fc=colour, ec='white', lw=0.7, zorder=6)
    if whole.tokens:
        look = dict(width=_RING[1] - _RING[0], fc=_QUERIES, lw=0, zorder=6)
        wedge(_RING[1], 0, 360, alpha=0.16, **look)
        wedge(_RING[1], 0, 360 * min(left.tokens / whole.tokens, 1), **look)


def _draw_legend(
    axis: Axes, y: float, full: Sequence[BlockArch], arch: Sequence[BlockArch]
) -> None:
    """What the signs mean, and a bar for each sum over all blocks."""
    before, after = _sums(full), _sums(arch)
    lines = [
        'a block: coloured areas are the channels that are left',
        *['its ring: the queries that are left'] * bool(before['queries']),
        'dashed: nothing left but the shortcut',
        '+: sum and ReLU',
    ]
    for k, line in enumerate(lines):
        _text(axis, -1.15, y + (k - (len(lines) - 1) / 2) * 0.36, line)
    colours = dict(zip(before, _COLOURS, strict=False)) | dict(queries=_QUERIES)
    rows = [name for name in before if before[name]]
    for k, name in enumerate(rows):
        middle = y + (k - (len(rows) - 1) / 2) * 0.34
        share = after[name] / before[name]
        _text(axis, 7.6, middle, name, ha='right')
        for extent, alpha in ((1.0, 0.16), (share, 1.0)):
            bar = (7.7, middle - 0.1), 2.2 * extent, 0.2
            axis.add_patch(Rectangle(*bar, color=colours[name], lw=0, alpha=alpha))
        _text(axis, 10, middle, f'{after[name]} of {before[name]}  ({share:.0%})')


def _sums(arch: Sequence[BlockArch]) -> Counter[str]:
    """Channels by kernel size, and queries."""
    sums: Counter[str] = Counter()
    for block in arch:
        for kernel, count in zip(block.kernels, block.channels, strict=True):
            sums[f'{kernel}x{kernel}'] += count
    sums['queries'] = sum(block.tokens for block in arch)
    return sums
