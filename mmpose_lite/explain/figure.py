"""The picture of an explanation: sections of panels below each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .panels import Explanation, Panel, Section

_WIDTH, _GAP, _EDGE = 12.4, 0.1, 0.25  # inches
_DPI = 100
_DENSE = 8  # panels in a row from which on titles are smaller
_LINE = 0.155  # inches of a line above a panel
_FOOT = 0.13  # of the crop's width, for strips beside and below it
_FADED = 0.4  # share of white over the crop below colours
_DARK = 0.78  # share of black over what is pruned
_PRUNED = (0.87, 0.88, 0.9, 1.0)
_MAP = colormaps['magma']
_INK, _GREY = '#222222', '#5f6672'
_SURE = 0.2  # score from which on keypoints of the skeleton are drawn


def rendered(figure: Figure) -> np.ndarray:
    """Pixels of a figure, ``(H, W, 3)``, ``uint8`` BGR."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])


def draw_explanation(
    explanation: Explanation,
    dataset_meta: Mapping[str, Any],
    title: str,
    caption: str = '',
) -> np.ndarray:
    """Picture of what :func:`explain` found.

    Args:
        dataset_meta: Links and colours of keypoints, as a MMPose model carries them.

    Returns:
        ``(H, W, 3)``, ``uint8`` BGR.
    """
    head = Figure((_WIDTH, 0.75), dpi=_DPI)
    _text(head, 0.33, title, size=14, weight='bold')
    _text(head, 0.58, caption, size=8.5, color=_GREY)
    pictures = [rendered(head)]
    for section in explanation.sections:
        figure, axes = _page(section, explanation.crop)
        for panel, axis in zip(section.panels, axes, strict=True):
            _draw(panel, axis, explanation, dataset_meta)
        pictures.append(rendered(figure))
    width = pictures[0].shape[1]
    for one in explanation.pictures:
        size = (width, round(one.shape[0] * width / one.shape[1]))
        pictures.append(cv2.resize(one, size, interpolation=cv2.INTER_AREA))
    return np.concatenate(pictures)


def _text(figure: Figure, y: float, text: str, **options: Any) -> None:
    """Text at the left edge, whose line stands ``y`` inches below the top."""
    place = (_EDGE / _WIDTH, 1 - y / figure.get_figheight())
    figure.text(*place, text, **{'color': _INK, **options})


def _page(section: Section, crop: np.ndarray) -> tuple[Figure, list[Axes]]:
    """A section with its titles, and a place in px of the crop for every panel."""
    rows = -(-len(section.panels) // section.columns)
    lines = max(panel.title.count('\n') + 1 for panel in section.panels)
    foot = _FOOT * any(panel.has_foot for panel in section.panels)
    side = _FOOT * any(panel.rows is not None for panel in section.panels)
    ratio = (crop.shape[0] / crop.shape[1] + foot) / (1 + side)
    wide = (_WIDTH - 2 * _EDGE + _GAP) / section.columns - _GAP
    step = lines * _LINE + 0.06 + wide * ratio + _GAP
    top = 0.38 + 0.17 * bool(section.note)
    figure = Figure((_WIDTH, top + 0.07 + rows * step), dpi=_DPI)
    height = figure.get_figheight()
    _text(figure, 0.3, section.title, size=10.5, weight='bold')
    _text(figure, 0.46, section.note, size=8, color=_GREY)
    axes = []
    for i, panel in enumerate(section.panels):
        row, column = divmod(i, section.columns)
        x, y = _EDGE + column * (wide + _GAP), top + (row + 1) * step - _GAP
        place = (x / _WIDTH, 1 - y / height, wide / _WIDTH, wide * ratio / height)
        axis = figure.add_axes(place)
        axis.set_title(
            panel.title, size=7 if section.columns >= _DENSE else 8.5, pad=4,
            color=_INK, linespacing=1.25,
        )  # fmt: skip
        axes.append(axis)
    return figure, axes


def _draw(
    panel: Panel, axis: Axes, explanation: Explanation, meta: Mapping[str, Any]
) -> None:
    """One panel, in px of the crop."""
    points = explanation.points
    height, width = explanation.crop.shape[:2]
    foot = _FOOT * width * panel.has_foot
    side = _FOOT * width * (panel.rows is not None)
    bottom, right, gap = height + foot, width + side, 0.25 * _FOOT * width
    axis.set_axis_off()
    axis.set(xlim=(0, right), ylim=(bottom, 0))

    def image(values: np.ndarray, *extent: float) -> None:
        axis.imshow(values, _MAP, extent=extent, aspect='auto')  # type: ignore[arg-type]

    def line(i: int, j: int, colour: Any, **options: Any) -> None:
        axis.plot(*points[[i, j], :2].T, color=colour, **options)

    image(_pixels(explanation.crop, panel), 0, width, height, 0)
    if panel.rows is not None:
        image(panel.rows[:, None], width + gap, right, height, 0)
    if panel.columns is not None:
        image(panel.columns[None], 0, width, bottom, height + gap)
    if panel.bars is not None:
        tall = bottom - height - gap
        x = np.linspace(0, width, len(panel.bars) + 1).repeat(2)[1:-1]
        y = bottom - tall * np.sort(panel.bars)[::-1].repeat(2)
        axis.fill_between(x, bottom, bottom - tall, color='#eceef2', linewidth=0)
        axis.fill_between(x, bottom, y, color='#7b2a7a', linewidth=0)
    if panel.links is not None:
        share = panel.links / max(float(panel.links.max()), 1e-12)
        for i, j in zip(*np.nonzero(np.triu(share, 1)), strict=True):
            line(i, j, _MAP(0.45), alpha=share[i, j], linewidth=2.6 * share[i, j])
    chosen = range(len(points)) if panel.marks is None else panel.marks
    marks = np.array(chosen, int)
    if panel.skeleton:
        sure = points[:, 2] >= _SURE
        marks = np.flatnonzero(sure)
        colours = np.asarray(meta['skeleton_link_colors']) / 255
        for (i, j), colour in zip(meta['skeleton_links'], colours, strict=True):
            if sure[i] and sure[j]:
                line(i, j, colour, linewidth=1.8)
    dots: dict[str, Any] = dict(s=12, c='white', edgecolors='black', linewidths=0.8)
    axis.scatter(*points[marks, :2].T, zorder=5, **dots)


def _pixels(crop: np.ndarray, panel: Panel) -> np.ndarray:
    """The crop below a panel's colours, ``(H, W, 3)`` RGB within 0 to 1.

    Colours are the more opaque the larger the value, so that the person stays visible.
    """
    size = crop.shape[1::-1]
    pixels = crop[..., ::-1] / 255.0
    if panel.heat is not None or panel.links is not None:
        grey = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
        pixels = grey * (1 - _FADED) + _FADED
    if panel.heat is not None:
        low = np.nanmin(panel.heat) if panel.low is None else panel.low
        share = (panel.heat - low) / max(np.nanmax(panel.heat) - low, 1e-12)
        share = share.clip(0, 1)
        colours = _MAP(np.nan_to_num(share))
        colours[..., 3] = 0.35 + 0.35 * np.nan_to_num(share)
        colours[np.isnan(share)] = _PRUNED
        colours = cv2.resize(colours, size, interpolation=cv2.INTER_NEAREST)
        opaque = colours[..., 3:]
        pixels = pixels * (1 - opaque) + colours[..., :3] * opaque
    if panel.kept is not None:
        kept = panel.kept.astype(np.uint8)
        kept = cv2.resize(kept, size, interpolation=cv2.INTER_NEAREST)
        pixels = pixels * np.where(kept, 1, 1 - _DARK)[..., None]
    return pixels.clip(0, 1)
