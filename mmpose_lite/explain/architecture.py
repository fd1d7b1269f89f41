"""Pictures of HR-NAS networks: what the search left of every block."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle, Wedge

from ..models.backbones.hrnas_arch import BlockArch, SearchSpace, full_arch
from .architecture_layout import ROW, Layout, Link, Point, lay_out

_UNIT = 0.62  # inches
_DPI = 130
_RADIUS = 0.31  # of a block that lost nothing
_RING = (0.36, 0.42)
# By kernel size, told apart by people who confuse colours too.
_COLOURS = ('#0072b2', '#e69f00', '#b5446e', '#56b4e9', '#777777')
_QUERIES = '#00795a'
_INK, _GREY, _LINE, _BAND = '#222222', '#6b7280', '#b6bcc6', '#f3f4f7'
_WIDTH = 15.5  # units, what the legend needs
_LEFT, _TOP, _BOTTOM = 1.5, 2.1, 2.75  # units beside, above and below the network


def draw_architecture(
    space: SearchSpace,
    arch: Sequence[BlockArch],
    title: str = 'HR-NAS',
    subtitle: str = '',
    image_size: tuple[int, int] | None = None,
) -> np.ndarray:
    """Draw resolutions below each other, blocks from left to right.

    A block is a disc with a sector for each kernel size; the coloured part of a
    sector's area is the share of hidden channels that is left. The ring around it is
    the share of queries. A block that lost everything is hollow.

    Args:
        space: The supernet.
        arch: What is left of it.
        title: First line.
        subtitle: Second line, such as MACs and parameters.
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
    width = _LEFT + max(layout.width + 1.2, _WIDTH)
    height = _TOP + (rows - 1) * ROW + _BOTTOM
    figure = Figure((width * _UNIT, height * _UNIT), dpi=_DPI)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set(
        xlim=(-_LEFT, width - _LEFT),
        ylim=(height - _TOP, -_TOP),
        aspect='equal',
    )
    axis.set_axis_off()
    _draw_rows(axis, layout, rows, image_size)
    for link in layout.links:
        _draw_link(axis, link)
    _draw_joints(axis, layout)
    for centre, whole, left in zip(layout.blocks, full, arch, strict=True):
        _draw_block(axis, centre, whole, left)
    _draw_legend(axis, (rows - 1) * ROW + 1.1, full, arch)
    axis.text(-_LEFT + 0.35, -_TOP + 0.5, title, size=13, weight='bold', color=_INK)
    axis.text(-_LEFT + 0.35, -_TOP + 0.92, subtitle, size=9.5, color=_GREY)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])


def _draw_rows(
    axis: Axes, layout: Layout, rows: int, image_size: tuple[int, int] | None
) -> None:
    """Bands for the stages, names of the resolutions, widths."""
    for number, (start, end, levels) in enumerate(layout.stages, 1):
        band = (start, -0.62), end - start, (levels - 1) * ROW + 1.24
        axis.add_patch(Rectangle(*band, color=_BAND, lw=0, zorder=0))
        axis.text(
            (start + end) / 2,
            -0.75,
            f'stage {number}',
            size=8,
            color=_GREY,
            ha='center',
        )
    for x in layout.fuses:
        axis.text(x, -0.75, 'fuse', size=8, color='#9299a6', ha='center')
    for i in range(rows):
        stride = 2 ** (i + 2)
        axis.text(
            -_LEFT + 0.35, i * ROW, f'1/{stride}', size=10, weight='bold', color=_INK,
            va='center',
        )  # fmt: skip
        if image_size is not None:
            h, w = (-(-side // stride) for side in image_size)
            axis.text(
                -_LEFT + 0.35, i * ROW + 0.32, f'{h}x{w}', size=7, color=_GREY,
                va='center',
            )  # fmt: skip
    for (x, y), channels in layout.labels:
        axis.text(
            x + 0.05, y - 0.5, f'{channels} ch', size=6.5, color=_GREY, va='center'
        )


def _draw_link(axis: Axes, link: Link) -> None:
    count = 2 if link.start[1] == link.end[1] else 40
    x, y = zip(*(link.at(k / (count - 1)) for k in range(count)), strict=True)
    axis.plot(x, y, color=_LINE, lw=1.3, zorder=1, solid_capstyle='round')


def _draw_joints(axis: Axes, layout: Layout) -> None:
    """Stem, sums, and the place where all resolutions meet."""
    small, large = 0.16, 0.3
    stem = [(0.2, -large), (0.75, -small), (0.75, small), (0.2, large)]
    axis.add_patch(Polygon(stem, color='#d5d9e0', zorder=2))
    axis.text(0.47, 0, 'stem', size=6, ha='center', va='center', color=_INK)
    for x, y in layout.sums:
        axis.add_patch(Circle((x, y), 0.12, fc='white', ec=_GREY, lw=1, zorder=3))
        axis.text(x, y, '+', size=7, ha='center', va='center', color=_GREY, zorder=4)
    x, y = layout.concat
    axis.add_patch(Rectangle((x - 0.05, y - 0.3), 0.1, 0.6, color=_GREY, zorder=3))
    axis.text(x, y - 0.42, 'concat', size=6.5, color=_GREY, ha='center')
    axis.annotate(
        '', (layout.width + 0.25, 0), (layout.width - 0.1, 0),
        arrowprops=dict(arrowstyle='-|>', color=_LINE, lw=1.3),
    )  # fmt: skip
    axis.text(layout.width + 0.32, 0, 'head', size=8, va='center', color=_INK)


def _draw_block(
    axis: Axes, centre: Point, whole: BlockArch, left: BlockArch, scale: float = 1
) -> None:
    radius = _RADIUS * scale
    if not left.channels and not left.tokens:
        axis.add_patch(
            Circle(centre, radius * 0.62, fc='white', ec=_GREY, lw=1, ls=(0, (2, 1.5)),
                   zorder=5)
        )  # fmt: skip
        return
    halo = _RING[1] * scale if whole.tokens else radius
    axis.add_patch(Circle(centre, halo + 0.02, fc='white', lw=0, zorder=4))
    kept = dict(zip(left.kernels, left.channels, strict=True))
    angle = 360 / len(whole.kernels)
    for i, (kernel, count) in enumerate(
        zip(whole.kernels, whole.channels, strict=True)
    ):
        start = angle * i - 90  # y points down: from the top, clockwise
        share = min(kept.get(kernel, 0) / count, 1)
        colour = _COLOURS[i % len(_COLOURS)]
        sector = start, start + angle
        axis.add_patch(Wedge(centre, radius, *sector, fc=colour, alpha=0.16, zorder=5))
        axis.add_patch(
            Wedge(centre, radius * math.sqrt(share), *sector, fc=colour, ec='white',
                  lw=0.7, zorder=6)
        )  # fmt: skip
    if whole.tokens:
        inner, outer = (r * scale for r in _RING)
        share = min(left.tokens / whole.tokens, 1)
        for end, alpha in ((360.0, 0.16), (360 * share, 1.0)):
            ring = Wedge(
                centre, outer, -90, end - 90, width=outer - inner, fc=_QUERIES, lw=0,
                alpha=alpha, zorder=6,
            )  # fmt: skip
            axis.add_patch(ring)


def _draw_legend(
    axis: Axes, top: float, full: Sequence[BlockArch], arch: Sequence[BlockArch]
) -> None:
    """What the signs mean, and sums over all blocks."""
    y = top + 0.65
    kernels = full[0].kernels
    has_queries = any(block.tokens for block in full)
    x = -_LEFT + 1.12
    shares = [(1.0, 0.6, 0.25)[i % 3] for i in range(len(kernels))]
    sample = BlockArch(kernels, tuple(round(100 * share) for share in shares), 70)
    whole = BlockArch(kernels, (100,) * len(kernels), 100 if has_queries else 0)
    _draw_block(axis, (x, y), whole, sample, scale=1.7)
    lines = ['a block: coloured areas are', 'the channels that are left']
    lines += ['ring: queries that are left'] if has_queries else []
    for k, line in enumerate(lines):
        offset = (k - (len(lines) - 1) / 2) * 0.34
        axis.text(x + 0.95, y + offset, line, size=8, color=_INK, va='center')
    x += 5.3
    _draw_block(axis, (x, y - 0.3), whole, BlockArch((), ()))
    axis.text(x + 0.4, y - 0.3, 'nothing left: shortcut', size=8, va='center')
    axis.add_patch(Circle((x, y + 0.3), 0.12, fc='white', ec=_GREY, lw=1))
    axis.text(x, y + 0.3, '+', size=7, ha='center', va='center', color=_GREY)
    axis.text(x + 0.4, y + 0.3, 'sum and ReLU', size=8, va='center')
    before, after = _sums(full), _sums(arch)
    signs = [(f'{k}x{k}', c) for k, c in zip(kernels, _COLOURS, strict=False)]
    signs += [('queries', _QUERIES)] if has_queries else []
    _draw_bars(
        axis,
        (x + 4.3, y),
        [
            (name, colour, after[name], before[name])
            for name, colour in signs
            if before[name]
        ],
    )


def _sums(arch: Sequence[BlockArch]) -> Counter[str]:
    """Channels by kernel size, and queries."""
    sums: Counter[str] = Counter()
    for block in arch:
        sums['queries'] += block.tokens
        for kernel, count in zip(block.kernels, block.channels, strict=True):
            sums[f'{kernel}x{kernel}'] += count
    return sums


def _draw_bars(
    axis: Axes, where: Point, rows: Sequence[tuple[str, str, int, int]]
) -> None:
    """A bar for each sum: name, colour, what is left, what there was."""
    x, middle = where
    height, length = 0.34, 2.2
    for k, (name, colour, left, total) in enumerate(rows):
        y = middle + (k - (len(rows) - 1) / 2) * height
        share = left / total
        axis.text(x - 0.1, y, name, size=8, ha='right', va='center', color=_INK)
        for extent, alpha in ((1.0, 0.16), (share, 1.0)):
            bar = (x, y - 0.1), length * extent, 0.2
            axis.add_patch(Rectangle(*bar, color=colour, lw=0, alpha=alpha))
        axis.text(
            x + length + 0.1, y, f'{left} of {total}  ({share:.0%})', size=8,
            va='center', color=_INK,
        )  # fmt: skip
