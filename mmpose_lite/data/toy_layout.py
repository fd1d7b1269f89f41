"""Where toy people stand in the picture."""

from __future__ import annotations

import cv2
import numpy as np

from .toy_body import Bodies

_CROWDING = 0.30  # part of a box that another may share, if there is room enough
_MAX_CROWDING = 0.60  # who finds no place better than this does not come
_TRIES = 16


Box = tuple[float, float, float, float]  # left, top, right, bottom


def _covered(box: Box, others: list[Box]) -> float:
    """Largest fraction of either box that ``box`` and one of ``others`` share."""
    worst = 0.0
    for other in others:
        wide = min(box[2], other[2]) - max(box[0], other[0])
        tall = min(box[3], other[3]) - max(box[1], other[1])
        if wide > 0 and tall > 0:
            smaller = min((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
            worst = max(worst, wide * tall / max(smaller, 1e-6))
    return worst


def place_people(
    rng: np.random.Generator, bodies: Bodies, size: tuple[int, int], horizon: float
) -> tuple[Bodies, np.ndarray, np.ndarray]:
    """Stand people on the floor, far (small, high up) to near (large, low).

    Args:
        rng: Source of randomness.
        bodies: N posed bodies.
        size: ``(width, height)`` of the image, px.
        horizon: Where the floor begins, fraction of the height.

    Returns:
        The M people who found a place, 1 to N; their statures ``(M,)`` in px,
        ascending; their image points ``(M, P, 2)`` in px.
    """
    width, height = size
    num = len(bodies.points)
    close_up = rng.random(num) < 0.12
    stature = np.where(
        close_up, rng.uniform(1.1, 1.6, num), rng.uniform(0.5, 1.05, num)
    )
    stature = np.sort(stature) * min(height, 1.3 * width)
    flat = bodies.points[..., :2] * (1, -1) * stature[:, None, None]
    low, high = flat.min(1), flat.max(1)
    boxes: list[Box] = []
    placed: list[int] = []
    extents = (high - low).tolist()
    for i, extent in enumerate(extents):
        nearness = min(float(stature[i]) / height, 1.0)
        foot = height * (horizon + (1.0 - horizon) * nearness) - 0.04 * height
        foot += rng.normal(0, 0.03) * height
        # Most heads stay in the picture; a close-up loses its legs.
        foot = max(foot, extent[1] + rng.uniform(-0.03, 0.12) * height)
        overhang = 0.12 * extent[0]
        left = min(-overhang, 0.5 * (width - extent[0]))
        right = max(width + overhang - extent[0], 0.5 * (width - extent[0]))
        trials: list[tuple[float, int, Box]] = []
        for x in rng.uniform(left, right, _TRIES).tolist():
            box = (x, foot - extent[1], x + extent[0], foot)
            trials.append((_covered(box, boxes), len(trials), box))
            if trials[-1][0] < _CROWDING:
                break
        crowding, _, box = min(trials)
        if crowding < _MAX_CROWDING:
            boxes.append(box)
            placed.append(i)
    shift = np.array([box[:2] for box in boxes]) - low[placed]
    return bodies.take(placed), stature[placed], flat[placed] + shift[:, None]


def cast_shadows(image: np.ndarray, xy: np.ndarray, stature: np.ndarray) -> None:
    """Darken a half-resolution backdrop under people, in place.

    Args:
        image: ``(height / 2, width / 2, 3)`` ``uint8``.
        xy: ``(N, P, 2)`` image points of the people, px.
        stature: ``(N,)``, px.
    """
    feet = np.stack([xy[..., 0].mean(1), xy[..., 1].max(1)], 1)
    shadow = np.full(image.shape[:2], 255, np.uint8)
    for (x, y), size in zip(feet / 2, stature / 2, strict=True):
        axes = (round(0.17 * size), round(0.035 * size))
        cv2.ellipse(shadow, (round(x), round(y)), axes, 0, 0, 360, 150, -1)
    shadow = cv2.blur(shadow, (5, 5))
    cv2.multiply(image, cv2.merge([shadow] * 3), dst=image, scale=1 / 255)
