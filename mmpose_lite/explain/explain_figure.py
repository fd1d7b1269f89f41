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
_DENSE = 8  # panels in a row from which on titles are smaller
_TITLE, _LINE = 0.62, 0.155  # of a section's title, and of a line above a panel
_FOOT = 0.13  # of the crop's size, for strips beside and below it
_DPI = 100
_FADED = 0.4  # share of white over the crop below colours
_PRUNED = (0.87, 0.88, 0.9, 1.0)
_MAP = colormaps['magma']
_INK, _GREY = '#222222', '#5f6672'


def draw_explanation(
    explanation: Explanation,
    dataset_meta: Mapping[str, Any],
    title: str,
    caption: str = '',
    score_threshold: float = 0.2,
) -> np.ndarray:
    """Draw what :func:`explain` found.

    Args:
        explanation: It.
        dataset_meta: Links and colours of keypoints, as a MMPose model carries them.
        title: First line, such as the model's name.
        caption: Second line, such as where its weights come from.
        score_threshold: Predicted joints below this score are not drawn.

    Returns:
        ``(H, W, 3)``, ``uint8`` BGR.
    """
    page = _Page(explanation, dataset_meta, score_threshold)
    width = _WIDTH
    height = 0.85 + sum(page.height(section) for section in explanation.sections)
    page.figure = Figure((width, height), dpi=_DPI, facecolor='white')
    page.size = (width, height)
    page.text(_EDGE, 0.33, title, size=14, weight='bold')
    page.text(_EDGE, 0.58, caption, size=8.5, color=_GREY)
    top = 0.75
    for section in explanation.sections:
        page.draw(section, top)
        top += page.height(section)
    canvas = FigureCanvasAgg(page.figure)
    canvas.draw()
    picture = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])
    below = [_fit(one, picture.shape[1]) for one in explanation.pictures]
    return np.concatenate([picture, *below])


def _fit(picture: np.ndarray, width: int) -> np.ndarray:
    """A picture of the page's width."""
    height = round(picture.shape[0] * width / picture.shape[1])
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


class _Page:
    """Places in inches from the top left, and how panels are drawn there."""

    figure: Figure
    size: tuple[float, float]

    def __init__(
        self, explanation: Explanation, meta: Mapping[str, Any], threshold: float
    ) -> None:
        self.crop = explanation.crop
        self.points = explanation.keypoints
        self.seen = self.points[:, 2] >= threshold
        self.meta = meta

    def _sizes(self, section: Section) -> tuple[float, float, float]:
        """Of a row: height of its titles, width and height of its panels."""
        lines = max(panel.title.count('\n') + 1 for panel in section.panels)
        ratio = self.crop.shape[0] / self.crop.shape[1]
        foot = any(p.bars is not None or p.columns is not None for p in section.panels)
        side = any(panel.rows is not None for panel in section.panels)
        shape = (ratio + _FOOT * foot) / (1 + _FOOT * side)
        width = (_WIDTH - 2 * _EDGE + _GAP) / section.columns - _GAP
        return lines * _LINE + 0.06, width, width * shape

    def height(self, section: Section) -> float:
        """Inches that a section takes."""
        rows = -(-len(section.panels) // section.columns)
        head, _, tall = self._sizes(section)
        note = 0.17 if section.note else 0.0
        return _TITLE - 0.17 + note + rows * (head + tall + _GAP)

    def text(self, x: float, y: float, text: str, **options: Any) -> None:
        """Text whose line stands at a place."""
        width, height = self.size
        options = {'color': _INK, **options}
        self.figure.text(x / width, 1 - y / height, text, **options)

    def draw(self, section: Section, top: float) -> None:
        """A section from ``top`` on."""
        self.text(_EDGE, top + 0.3, section.title, size=10.5, weight='bold')
        if section.note:
            self.text(_EDGE, top + 0.46, section.note, size=8, color=_GREY)
            top += 0.17
        head, wide, tall = self._sizes(section)
        for i, panel in enumerate(section.panels):
            row, column = divmod(i, section.columns)
            x = _EDGE + column * (wide + _GAP)
            y = top + _TITLE - 0.24 + row * (head + tall + _GAP)
            self.text(
                x + wide / 2, y + head - 0.05, panel.title, ha='center', va='bottom',
                size=7 if section.columns >= _DENSE else 8.5, linespacing=1.25,
            )  # fmt: skip
            self._panel(panel, (x, y + head, wide, tall))

    def _panel(self, panel: Panel, place: tuple[float, float, float, float]) -> None:
        """One panel at left, top, with width and height."""
        x, y, wide, tall = place
        width, height = self.size
        axis = self.figure.add_axes(
            (x / width, 1 - (y + tall) / height, wide / width, tall / height)
        )
        axis.set_axis_off()
        rows, columns = self.crop.shape[:2]
        right = columns * (1 + _FOOT * (panel.rows is not None))
        foot = panel.bars is not None or panel.columns is not None
        axis.set(xlim=(0, right), ylim=(rows + columns * _FOOT * foot, 0))
        plain = panel.heat is None and panel.links is None
        self._show_crop(axis, 0.0 if plain else _FADED)
        if panel.heat is not None:
            self._show_heat(axis, panel.heat, panel.low)
        if panel.rows is not None:
            near, far = columns * (1 + 0.25 * _FOOT), right
            self._strip(axis, panel.rows[:, None], (near, far, rows, 0))
        if panel.columns is not None:
            near, far = rows + 0.25 * columns * _FOOT, rows + columns * _FOOT
            self._strip(axis, panel.columns[None], (0, columns, far, near))
        if panel.bars is not None:
            self._bars(axis, panel.bars)
        if panel.links is not None:
            self._links(axis, panel.links)
        if panel.skeleton:
            self._skeleton(axis)
        marks = range(len(self.points)) if panel.marks is None else panel.marks
        x_, y_ = self.points[list(marks), :2].T
        axis.scatter(
            x_, y_, s=13, c='white', edgecolors='black', linewidths=0.8, zorder=5
        )

    def _show_crop(self, axis: Axes, faded: float) -> None:
        pixels = self.crop[..., ::-1].astype(float)
        if faded:
            grey = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
            pixels = grey * (1 - faded) + 255 * faded
        rows, columns = self.crop.shape[:2]
        axis.imshow(
            pixels.astype(np.uint8), extent=(0, columns, rows, 0), aspect='auto',
            interpolation='bilinear',
        )  # fmt: skip

    def _show_heat(self, axis: Axes, heat: np.ndarray, low: float | None) -> None:
        """Colours, the more opaque the larger the value, so that the person stays."""
        least = np.nanmin(heat) if low is None else low
        share = np.clip((heat - least) / max(np.nanmax(heat) - least, 1e-12), 0, 1)
        colours = _MAP(np.nan_to_num(share))
        colours[..., 3] = 0.35 + 0.35 * np.nan_to_num(share)
        colours[np.isnan(heat)] = _PRUNED
        rows, columns = self.crop.shape[:2]
        axis.imshow(
            colours,
            extent=(0, columns, rows, 0),
            aspect='auto',
            interpolation='nearest',
        )

    def _strip(
        self, axis: Axes, values: np.ndarray, extent: tuple[float, float, float, float]
    ) -> None:
        axis.imshow(
            values, cmap=_MAP, extent=extent, aspect='auto', interpolation='nearest'
        )

    def _bars(self, axis: Axes, values: np.ndarray) -> None:
        """Values from 0 to 1, sorted, as an area below the crop."""
        rows, columns = self.crop.shape[:2]
        floor, tall = rows + columns * _FOOT, columns * _FOOT * 0.75
        x = np.linspace(0, columns, len(values) + 1).repeat(2)[1:-1]
        y = floor - tall * np.sort(values)[::-1].repeat(2)
        axis.fill_between(x, floor, floor - tall, color='#eceef2', linewidth=0)
        axis.fill_between(x, floor, y, color='#7b2a7a', linewidth=0)

    def _links(self, axis: Axes, links: np.ndarray) -> None:
        most = max(float(links.max()), 1e-12)
        for i, j in zip(*np.nonzero(np.triu(links, 1)), strict=True):
            share = links[i, j] / most
            x, y = self.points[[i, j], :2].T
            axis.plot(x, y, color=_MAP(0.45), alpha=share, linewidth=2.6 * share)

    def _skeleton(self, axis: Axes) -> None:
        colours = np.asarray(self.meta['skeleton_link_colors']) / 255
        for (i, j), colour in zip(self.meta['skeleton_links'], colours, strict=True):
            if self.seen[i] and self.seen[j]:
                axis.plot(*self.points[[i, j], :2].T, color=colour, linewidth=1.8)
        x, y = self.points[self.seen, :2].T
        axis.scatter(
            x, y, s=11, c='white', edgecolors='black', linewidths=0.7, zorder=5
        )
