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
    score_threshold: float = 0.2,
) -> np.ndarray:
    """Picture of what :func:`explain` found.

    Args:
        explanation: It.
        dataset_meta: Links and colours of keypoints, as a MMPose model carries them.
        title: First line, such as the model's name.
        caption: Second line, such as where its weights come from.
        score_threshold: Predicted keypoints below this score are not drawn.

    Returns:
        ``(H, W, 3)``, ``uint8`` BGR.
    """
    page = _Page(explanation, dataset_meta, score_threshold)
    page.text(_EDGE, 0.33, title, size=14, weight='bold')
    page.text(_EDGE, 0.58, caption, size=8.5, color=_GREY)
    top = 0.75
    for section in explanation.sections:
        page.add(section, top)
        top += page.height(section)
    picture = rendered(page.figure)
    width = picture.shape[1]
    below = [
        cv2.resize(one, (width, round(one.shape[0] * width / one.shape[1])),
                   interpolation=cv2.INTER_AREA)
        for one in explanation.pictures
    ]  # fmt: skip
    return np.concatenate([picture, *below])


class _Page:
    """Places in inches from the top left, and how panels are drawn there."""

    def __init__(
        self, explanation: Explanation, meta: Mapping[str, Any], threshold: float
    ) -> None:
        self.crop = explanation.crop
        self.points = explanation.points
        self.sure = self.points[:, 2] >= threshold
        self.meta = meta
        heights = [self.height(section) for section in explanation.sections]
        self.size = _WIDTH, 0.85 + sum(heights)
        self.figure = Figure(self.size, dpi=_DPI, facecolor='white')

    def _sizes(self, section: Section) -> tuple[float, float, float]:
        """Of a row: height of its titles, width and height of its panels."""
        lines = max(panel.title.count('\n') + 1 for panel in section.panels)
        edges = np.any([_edges(panel) for panel in section.panels], axis=0)
        ratio = self.crop.shape[0] / self.crop.shape[1]
        width = (_WIDTH - 2 * _EDGE + _GAP) / section.columns - _GAP
        height = width * (ratio + _FOOT * edges[0]) / (1 + _FOOT * edges[1])
        return lines * _LINE + 0.06, width, height

    def height(self, section: Section) -> float:
        """Inches that a section takes."""
        rows = -(-len(section.panels) // section.columns)
        head, _, tall = self._sizes(section)
        return 0.45 + 0.17 * bool(section.note) + rows * (head + tall + _GAP)

    def text(self, x: float, y: float, text: str, **options: Any) -> None:
        """Text whose line stands at a place."""
        width, height = self.size
        self.figure.text(x / width, 1 - y / height, text, **{'color': _INK, **options})

    def add(self, section: Section, top: float) -> None:
        """A section from ``top`` on."""
        self.text(_EDGE, top + 0.3, section.title, size=10.5, weight='bold')
        if section.note:
            self.text(_EDGE, top + 0.46, section.note, size=8, color=_GREY)
            top += 0.17
        head, wide, tall = self._sizes(section)
        size = 7 if section.columns >= _DENSE else 8.5
        for i, panel in enumerate(section.panels):
            row, column = divmod(i, section.columns)
            x = _EDGE + column * (wide + _GAP)
            y = top + 0.38 + row * (head + tall + _GAP) + head
            self.text(
                x + wide / 2, y - 0.05, panel.title, ha='center', va='bottom',
                size=size, linespacing=1.25,
            )  # fmt: skip
            width, height = self.size
            place = (x / width, 1 - (y + tall) / height, wide / width, tall / height)
            self._draw(panel, self.figure.add_axes(place))

    def _draw(self, panel: Panel, axis: Axes) -> None:
        """One panel, in px of the crop."""
        rows, columns = self.crop.shape[:2]
        foot, side = _edges(panel)
        bottom, right = rows + foot * _FOOT * columns, (1 + side * _FOOT) * columns
        gap = 0.25 * _FOOT * columns
        axis.set_axis_off()
        axis.set(xlim=(0, right), ylim=(bottom, 0))
        layers: list[tuple[np.ndarray, tuple[float, float, float, float]]] = [
            (_pixels(self.crop, panel), (0, columns, rows, 0))
        ]
        if panel.rows is not None:
            layers.append((panel.rows[:, None], (columns + gap, right, rows, 0)))
        if panel.columns is not None:
            layers.append((panel.columns[None], (0, columns, bottom, rows + gap)))
        for values, extent in layers:
            axis.imshow(values, _MAP, extent=extent, aspect='auto')
        if panel.bars is not None:
            tall = bottom - rows - gap
            x = np.linspace(0, columns, len(panel.bars) + 1).repeat(2)[1:-1]
            y = bottom - tall * np.sort(panel.bars)[::-1].repeat(2)
            axis.fill_between(x, bottom, bottom - tall, color='#eceef2', linewidth=0)
            axis.fill_between(x, bottom, y, color='#7b2a7a', linewidth=0)
        if panel.links is not None:
            share = panel.links / max(float(panel.links.max()), 1e-12)
            for i, j in zip(*np.nonzero(np.triu(share, 1)), strict=True):
                self._line(axis, i, j, _MAP(0.45), alpha=share[i, j],
                           linewidth=2.6 * share[i, j])  # fmt: skip
        marks = np.arange(len(self.points))
        if panel.skeleton:
            marks = marks[self.sure]
            colours = np.asarray(self.meta['skeleton_link_colors']) / 255
            for (i, j), colour in zip(
                self.meta['skeleton_links'], colours, strict=True
            ):
                if self.sure[i] and self.sure[j]:
                    self._line(axis, i, j, colour, linewidth=1.8)
        elif panel.marks is not None:
            marks = np.array(panel.marks, int)
        x, y = self.points[marks, :2].T
        axis.scatter(
            x, y, s=12, c='white', edgecolors='black',
            linewidths=0.8, zorder=5,
        )  # fmt: skip

    def _line(self, axis: Axes, i: int, j: int, colour: Any, **options: Any) -> None:
        axis.plot(*self.points[[i, j], :2].T, color=colour, **options)


def _edges(panel: Panel) -> tuple[bool, bool]:
    """Whether there is something below the crop, and beside it."""
    return panel.bars is not None or panel.columns is not None, panel.rows is not None


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
