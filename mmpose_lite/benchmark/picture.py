"""Latency against accuracy, as a picture."""

from __future__ import annotations

import io
import textwrap
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from matplotlib.transforms import Bbox

from .rows import Results
from .tables import best_rows

OURS, THEIRS = '#1f4e9c', '#c46a00'


class Point(NamedTuple):
    """A network: median ms at batch 1 in f32 on its best engine, and published AP."""

    title: str
    ms: float
    ap: float
    ours: bool


def points(results: Results) -> tuple[list[Point], list[str]]:
    """Networks with published AP; titles of those that were timed but have none."""
    found, without = [], []
    for name, row in best_rows(results, 1).items():
        about = results.networks[name]
        title, ap = about['title'], about['ap']
        if ap is None:
            without.append(title)
        else:
            found.append(Point(title, row.milliseconds.median, ap, about['ours']))
    return found, without


def front(found: list[Point]) -> list[Point]:
    """Those that none beats in both time and accuracy, fastest first."""
    kept: list[Point] = []
    for point in sorted(found, key=lambda p: (p.ms, -p.ap)):
        if not kept or point.ap > kept[-1].ap:
            kept.append(point)
    return kept


def plot_pareto(results: Results) -> bytes:
    """The picture as a PNG; ValueError if nothing has a time and a published AP."""
    found, without = points(results)
    if not found:
        raise ValueError('the picture needs a network with a time and a published AP')
    figure = Figure(figsize=(9, 6), dpi=120, layout='constrained')
    axes = figure.subplots()
    edge = front(found)
    axes.plot(
        [p.ms for p in edge], [p.ap for p in edge], color='#8a8a8a', linewidth=1,
        linestyle='--', zorder=1, label='no other is faster and better',
    )  # fmt: skip
    for label, colour, marker in (('mmpose_lite', OURS, 'o'), ('MMPose', THEIRS, 's')):
        mine = [p for p in found if p.ours == (colour == OURS)]
        axes.scatter(
            [p.ms for p in mine], [p.ap for p in mine], color=colour, marker=marker,
            s=46, zorder=3, label=label if mine else None,
        )  # fmt: skip
    axes.set_xscale('log')
    axes.margins(0.14)
    figure.draw_without_rendering()
    _label(axes, found)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ms, _: f'{ms:g}'))
    axes.xaxis.minorticks_off()
    axes.set_xlabel('ms an image, f32, each on its best engine (log scale)')
    axes.set_ylabel('published AP, COCO val2017')
    about = results.header
    height, width = about['image_size']
    threads = f'{about["threads"]} thread{"s" * (about["threads"] > 1)}'
    axes.set_title(
        f'Batch 1, {height}x{width}, {threads}, {about["cpu"]}', loc='left', fontsize=10
    )
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(loc='lower right', frameon=False, fontsize=9)
    figure.suptitle('Latency against accuracy', x=0.01, ha='left', fontweight='bold')
    if without:
        text = f'Without published AP, so not shown: {", ".join(without)}.'
        text = textwrap.fill(text, 130)
        figure.supxlabel(text, x=0.01, ha='left', fontsize=8, color='#555555')
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()


def _label(axes: Any, found: list[Point]) -> None:
    """Names beside the points, where they cover neither a point nor another name."""
    scale = axes.figure.dpi / 72
    height, gap = 11.25 * scale, 8 * scale
    dots = [axes.transData.transform((p.ms, p.ap)) for p in found]
    taken = [Bbox.from_bounds(x - 5, y - 5, 10, 10) for x, y in dots]
    spots = [(side, lift) for lift in (0, 1, -1, 2, -2, 3, -3) for side in (1, -1)]
    for point, (x, y) in sorted(zip(found, dots, strict=True), key=lambda p: p[1][0]):
        width = 5.58 * scale * len(point.title)
        for side, lift in spots:
            left = x + gap if side > 0 else x - gap - width
            box = Bbox.from_bounds(left, y + (lift - 0.5) * height, width, height)
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
        taken.append(box)
        axes.annotate(
            point.title, (point.ms, point.ap),
            xytext=(8 * side, lift * 11.25), textcoords='offset points',
            ha='left' if side > 0 else 'right', va='center', fontsize=9,
            color=OURS if point.ours else THEIRS,
            bbox=dict(facecolor='white', edgecolor='none', pad=0.6, alpha=0.8),
        )  # fmt: skip
