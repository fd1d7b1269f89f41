"""Latency against accuracy, as a picture."""

from __future__ import annotations

import io
from dataclasses import dataclass

from .pose_results import Results, fastest

OURS, THEIRS = '#1f4e9c', '#c46a00'


@dataclass(frozen=True)
class Point:
    """A network in the picture.

    Attributes:
        title: Its name.
        ms: Median milliseconds at batch 1 in f32, on its best engine.
        ap: Published AP, 0 to 100.
        ours: Whether it is one of this package.
    """

    title: str
    ms: float
    ap: float
    ours: bool


def points(results: Results) -> tuple[list[Point], list[str]]:
    """Networks with published AP; titles of those that were timed but have none."""
    found, without = [], []
    for name, about in results.contestants.items():
        best = fastest(
            row
            for row in results.good(1)
            if (row.entry.contestant, row.entry.precision) == (name, 'f32')
        )
        if best is None:
            continue
        if about['ap'] is None:
            without.append(about['title'])
            continue
        ms = best.milliseconds.median
        found.append(Point(about['title'], ms, about['ap'], about['ours']))
    return found, without


def front(found: list[Point]) -> list[Point]:
    """Those that none beats in both time and accuracy, fastest first."""
    kept: list[Point] = []
    for point in sorted(found, key=lambda p: (p.ms, -p.ap)):
        if not kept or point.ap > kept[-1].ap:
            kept.append(point)
    return kept


def plot_pareto(results: Results) -> bytes | None:
    """The picture as a PNG; None if no network has both a time and an AP."""
    # Only here, so that measuring needs no matplotlib.
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator

    found, without = points(results)
    if not found:
        return None
    figure = Figure(figsize=(9, 6), dpi=120, layout='constrained')
    axes = figure.subplots()
    edge = front(found)
    axes.plot(
        [p.ms for p in edge], [p.ap for p in edge], color='#8a8a8a', linewidth=1,
        linestyle='--', zorder=1, label='no other is faster and better',
    )  # fmt: skip
    groups = (('mmpose_lite', OURS, 'o', True), ('MMPose', THEIRS, 's', False))
    for label, colour, marker, ours in groups:
        mine = [p for p in found if p.ours == ours]
        axes.scatter(
            [p.ms for p in mine], [p.ap for p in mine], color=colour, marker=marker,
            s=46, zorder=3, label=label,
        )  # fmt: skip
    axes.set_xscale('log')
    axes.margins(0.14)
    figure.draw_without_rendering()
    _label(axes, found)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ms, _: f'{ms:g}'))
    axes.xaxis.minorticks_off()
    about = results.header
    threads = about['threads']
    axes.set(
        xlabel='ms an image, f32, each on its best engine (log scale)',
        ylabel='published AP, COCO val2017',
    )
    axes.set_title(
        f'Batch 1, {about["image_size"][0]}x{about["image_size"][1]}, {threads} '
        f'thread{"s" * (threads > 1)}, {about["cpu"]}',
        loc='left', fontsize=10,
    )  # fmt: skip
    axes.grid(alpha=0.25)
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(
        loc='lower right', bbox_to_anchor=(1, 1), ncols=3, frameon=False, fontsize=9,
        columnspacing=1.2, handletextpad=0.4, borderaxespad=0.1,
    )  # fmt: skip
    figure.suptitle(
        'Latency against accuracy', fontsize=12, fontweight='bold', x=0.01, ha='left'
    )
    if without:
        figure.supxlabel(
            _wrap(f'Without published AP, so not shown: {", ".join(without)}.'),
            fontsize=8, x=0.01, ha='left', color='#555555',
        )  # fmt: skip
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    return buffer.getvalue()


def _wrap(text: str) -> str:
    import textwrap

    return '\n'.join(textwrap.wrap(text, 130))


def _label(axes, found: list[Point]) -> None:
    """Names beside the points, where they cover neither a point nor another name."""
    scale = axes.figure.dpi / 72
    height, size = 9 * 1.25 * scale, 9
    dots = [axes.transData.transform((p.ms, p.ap)) for p in found]
    boxes = [(x - 5, y - 5, x + 5, y + 5) for x, y in dots]
    left_edge, right_edge = axes.bbox.x0, axes.bbox.x1
    spots = [(side, lift) for lift in (0, 1, -1, 2, -2, 3, -3) for side in (1, -1)]
    for point, (x, y) in sorted(
        zip(found, dots, strict=True), key=lambda pair: pair[1][0]
    ):
        width = 0.62 * size * scale * len(point.title)
        best = None
        for side, lift in spots:
            near = x + side * 8 * scale
            low = min(near, near + side * width)
            box = (low, y + lift * height - height / 2, low + width,
                   y + lift * height + height / 2)  # fmt: skip
            outside = low < left_edge or low + width > right_edge
            overlaps = sum(_overlap(box, other) for other in boxes) + 9e9 * outside
            if best is None or overlaps < best[0]:
                best = (overlaps, box, side, lift)
        _, box, side, lift = best
        boxes.append(box)
        axes.annotate(
            point.title, (point.ms, point.ap),
            xytext=(8 * side, lift * height / scale), textcoords='offset points',
            ha='left' if side > 0 else 'right', va='center', fontsize=size,
            color=OURS if point.ours else THEIRS,
            bbox=dict(facecolor='white', edgecolor='none', pad=0.6, alpha=0.8),
        )  # fmt: skip


def _overlap(a: tuple, b: tuple) -> float:
    """Area that two boxes (left, bottom, right, top) share."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)
