"""What stands around toy people: ground and sky, clutter behind, objects in front."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np

from .toy_shapes import fixed_point, hulls

_GRAIN = 1024  # side of the noise tile, px


@cache
def _grain() -> np.ndarray:
    """Fixed film grain around 128, ``(_GRAIN, _GRAIN, 3)``; images take crops of it."""
    noise = np.random.default_rng(20).normal(128, 24, (_GRAIN, _GRAIN, 3))
    return np.clip(noise, 0, 255).astype(np.uint8)


def add_grain(image: np.ndarray, rng: np.random.Generator, strength: float) -> None:
    """Add camera noise of the given strength (0..1) to a ``uint8`` image in place."""
    height, width = image.shape[:2]
    top, left = rng.integers(0, _GRAIN, 2) % (
        max(_GRAIN - height, 1), max(_GRAIN - width, 1))  # fmt: skip
    tile = _grain()[top : top + height, left : left + width]
    if tile.shape != image.shape:
        repeats = (height // _GRAIN + 1, width // _GRAIN + 1, 1)
        tile = np.tile(_grain(), repeats)[:height, :width]
    cv2.addWeighted(image, 1.0, tile, strength, -128 * strength, dst=image)


def _color(u: Sequence[float]) -> np.ndarray:
    """A muted BGR colour from four numbers in 0..1."""
    gray = 40 + 185 * u[0]
    return np.array([min(max(gray + 110 * (v - 0.5), 0), 255) for v in u[1:4]])


def draw_backdrop(
    rng: np.random.Generator, size: tuple[int, int], horizon: float
) -> np.ndarray:
    """Wall or sky over a floor, with furniture-like and tree-like clutter.

    Args:
        rng: Source of randomness.
        size: ``(width, height)``, px.
        horizon: Where the floor begins, fraction of the height.

    Returns:
        ``(height / 2, width / 2, 3)`` ``uint8`` BGR: the backdrop is out of focus, so
        it is drawn at half the resolution.
    """
    width, height = size[0] // 2, size[1] // 2
    edge = round(horizon * height)
    u = rng.random(8).tolist()
    upper, lower = _color(u[:4]), _color(u[4:])
    ramp = np.linspace(0, 1, height)[:, None]
    rows = np.where(
        np.arange(height)[:, None] < edge,
        upper * (1.08 - 0.25 * ramp), lower * (0.72 + 0.36 * ramp),
    )  # fmt: skip
    # Soft patches of light: a few random values, stretched over the picture.
    patches = rng.normal(0, 9, (5, 7)).astype(np.float32)
    patches = cv2.resize(patches, (width, height), interpolation=cv2.INTER_LINEAR)
    columns = cv2.resize(rows[:, None].astype(np.float32), (width, height))
    image = cv2.convertScaleAbs(cv2.max(columns + patches[..., None], 0))
    for row in rng.random((int(rng.integers(4, 11)), 18)).tolist():
        _draw_clutter(image, edge, row)
    return image


def _draw_clutter(image: np.ndarray, edge: int, u: list[float]) -> None:
    """Draw one thing that 18 numbers in 0..1 describe, standing near row ``edge``."""
    height, width = image.shape[:2]
    tones = _color(u[:4])
    color = tones.tolist()
    x, y = round(u[4] * width), round(edge + (0.45 * u[5] - 0.1) * height)
    w, h = (0.04 + 0.24 * u[6]) * width, (0.08 + 0.52 * u[7]) * height
    if u[8] < 0.2:  # a tree
        dark, thick = (0.5 * tones).tolist(), max(round(0.1 * h), 1)
        cv2.line(image, (x, y), (x, round(y - h)), dark, thick)
        for k in (10, 12, 14, 16):
            crown = (
                round(x + (u[k] - 0.5) * 0.6 * h),
                round(y - (1.35 - 0.6 * u[k + 1]) * h),
            )
            cv2.circle(image, crown, round(h * (0.12 + 0.16 * u[9])), color, -1)
    elif u[8] < 0.35:  # a ball, a sign, a balloon
        cv2.circle(image, (x, round(y - h)), round(0.4 * w), color, -1)
    elif u[8] < 0.5:  # a fence
        for k in range(5):
            post = round(x + k * w / 3)
            cv2.line(image, (post, y), (post, round(y - 0.4 * h)), color, 2)
        rail = round(y - 0.35 * h)
        cv2.line(image, (x, rail), (round(x + 1.4 * w), rail), color, 2)
    else:  # a house, a shelf, a window, with panes of another tone
        cv2.rectangle(
            image, (round(x - w / 2), round(y - h)), (round(x + w / 2), y), color, -1
        )
        pane = np.minimum(tones * (0.6 + 0.9 * u[9]), 255).tolist()
        left, right = round(x - 0.36 * w), round(x + 0.36 * w)
        for k in range(int(4 * u[10])):
            top = y - h + h * (0.12 + 0.22 * k)
            cv2.rectangle(
                image, (left, round(top)), (right, round(top + 0.12 * h)), pane, -1
            )


def _disc(centre: np.ndarray, radius: float) -> np.ndarray:
    return hulls(centre[None, None], np.full((1, 1), radius))[0]


def sample_obstacle(
    rng: np.random.Generator, size: tuple[int, int]
) -> list[tuple[np.ndarray, tuple[float, ...]]]:
    """An object that may stand before people: a crate, a pole, a bush or a ball.

    Args:
        rng: Source of randomness.
        size: ``(width, height)`` of the image, px.

    Returns:
        Convex fixed-point polygons with their BGR colours, in drawing order.
    """
    width, height = size
    color = _color(rng.random(4).tolist())
    x, y = rng.uniform(0, width), rng.uniform(0.72, 1.08) * height
    w, h = rng.uniform(0.08, 0.26) * width, rng.uniform(0.15, 0.4) * height
    kind = rng.integers(4)
    faces: list[tuple[Any, float]]
    if kind == 0:
        skew = 0.25 * w
        front = [(x, y), (x + w, y), (x + w, y - h), (x, y - h)]
        lid = [(x, y - h), (x + w, y - h), (x + w + skew, y - h - skew / 2),
               (x + skew, y - h - skew / 2)]  # fmt: skip
        flank = [(x + w, y), (x + w, y - h), (x + w + skew, y - h - skew / 2),
                 (x + w + skew, y - skew / 2)]  # fmt: skip
        faces = [(front, 1.0), (lid, 1.25), (flank, 0.7)]
    elif kind == 1:
        bottom, top = 1.1 * height, rng.uniform(-0.2, 0.4) * height
        faces = [
            ([(left, bottom), (left, top), (right, top), (right, bottom)], tone)
            for left, right, tone in (
                (x - 0.10 * w, x + 0.10 * w, 0.7), (x - 0.09 * w, x + 0.03 * w, 1.0),
            )
        ]  # fmt: skip
    elif kind == 2:
        leaves = rng.normal(0, 0.35, (7, 2)) * (w, 0.5 * h) + (x, y - 0.3 * h)
        faces = [
            (_disc(leaf, 0.32 * w), tone)
            for leaf, tone in zip(leaves, np.linspace(0.65, 1.15, 7), strict=True)
        ]
    else:
        faces = [
            (_disc(np.array([x - s * w, y - 0.4 * w - s * w]), r * w), tone)
            for s, r, tone in ((0, 0.4, 0.7), (0.04, 0.34, 1.0), (0.12, 0.16, 1.25))
        ]
    return [
        (fixed_point(np.asarray(p)), tuple(np.minimum(color * t, 255).tolist()))
        for p, t in faces
    ]
