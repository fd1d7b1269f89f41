"""Boxes, arrows and maps on a plain canvas, in one look for all drawings."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from PIL import Image

INK, GREY, LINE, PAPER = '#222222', '#6b7280', '#9aa1ad', '#f3f4f7'
# Told apart by people who confuse colours too.
BLUE, ORANGE, ROSE, SKY, GREEN = '#0072b2', '#e69f00', '#b5446e', '#56b4e9', '#00795a'
DPI = 130
UNIT = 0.5
"""Inches of one unit of the coordinates."""


def pale(colour: str) -> tuple[float, float, float]:
    """A light shade of a colour given as ``#rrggbb``."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (0.82 + 0.18 * part for part in parts)
    return red, green, blue


class Canvas:
    """A drawing in units of half an inch; x goes right and y goes down.

    Args:
        width: Width in units.
        height: Height in units.
    """

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure((width * UNIT, height * UNIT), dpi=DPI)
        self.axis = self.figure.add_axes((0, 0, 1, 1))
        self.axis.set(xlim=(0, width), ylim=(height, 0), aspect='equal')
        self.axis.set_axis_off()

    def box(
        self,
        centre: Sequence[float],
        text: str,
        colour: str = LINE,
        size: Sequence[float] = (2.6, 0.8),
        font: float = 8,
    ) -> None:
        """An operation: a rounded box around its name."""
        (x, y), (width, height) = centre, size
        self.axis.add_patch(
            FancyBboxPatch(
                (x - width / 2, y - height / 2),
                width,
                height,
                boxstyle='round,pad=0,rounding_size=0.12',
                facecolor=pale(colour),
                edgecolor=colour,
                linewidth=1,
                zorder=3,
            )
        )
        self.text(centre, text, font)

    def grid(
        self,
        corner: Sequence[float],
        cells: Sequence[int],
        colour: str = LINE,
        side: float = 0.3,
        shades: Sequence[float] | None = None,
    ) -> None:
        """A map of ``(rows, columns)`` cells; ``shades`` (0 to 1) go row by row."""
        rows, columns = cells
        for number in range(rows * columns):
            row, column = divmod(number, columns)
            shade = 0.25 if shades is None else shades[number]
            place = corner[0] + column * side, corner[1] + row * side
            self.axis.add_patch(
                Rectangle(
                    place, side, side, facecolor=colour, alpha=shade, lw=0, zorder=3
                )
            )
            self.axis.add_patch(
                Rectangle(place, side, side, fill=False, ec=colour, lw=0.7, zorder=4)
            )

    def arrow(
        self,
        *points: Sequence[float],
        colour: str = GREY,
        head: bool = True,
        dashed: bool = False,
        width: float = 1.0,
    ) -> None:
        """A line through points, with a head at its end."""
        style = dict(color=colour, lw=width, ls='--' if dashed else '-', zorder=2)
        for start, end in pairwise(points[:-1]):
            self.axis.plot(*zip(start, end, strict=True), **style)
        self.axis.add_patch(
            FancyArrowPatch(
                tuple(points[-2]),
                tuple(points[-1]),
                arrowstyle='-|>' if head else '-',
                mutation_scale=8,
                shrinkA=0,
                shrinkB=0,
                **style,
            )
        )

    def join(self, centre: Sequence[float], sign: str) -> None:
        """A small disc with the sign of what joins its inputs."""
        self.axis.plot(*centre, 'o', ms=11, mfc='white', mec=GREY, zorder=3)
        self.text(centre, sign, 9)

    def text(
        self,
        at: Sequence[float],
        text: str,
        size: float = 8,
        colour: str = INK,
        align: str = 'center',
        bold: bool = False,
    ) -> None:
        """Text around a point, or to the right (``'left'``) or left of it."""
        self.axis.text(
            *at,
            text,
            size=size,
            color=colour,
            ha=align,
            va='center',
            weight='bold' if bold else 'normal',
            linespacing=1.25,
            zorder=5,
        )

    def png(self) -> bytes:
        """The picture, in few colours so that the file stays small."""
        return png(self.figure)


def png(figure: Figure) -> bytes:
    """A figure as PNG of at most 256 colours."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    file = io.BytesIO()
    picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
        file, 'PNG', optimize=True
    )
    return file.getvalue()
