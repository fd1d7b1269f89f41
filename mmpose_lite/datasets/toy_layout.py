"""Where toy people stand in the picture."""

from __future__ import annotations

import cv2
import numpy as np

from .toy_body import Bodies

_MAX_CROWDING = 0.40  # part of a person's box that another box may share
_TRIES = 16


def _covered(box: np.ndarray, others: list[np.ndarray]) -> float:
    """Largest fraction of either box that ``box`` and one of ``others`` share."""
    worst = 0.0
    for other in others:
        side = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
        shared = float(np.prod(np.maximum(side, 0)))
        smaller = min(np.prod(box[2:] - box[:2]), np.prod(other[2:] - other[:2]))
        worst = max(worst, shared / max(smaller, 1e-6))
    return worst


def place_people(
    rng: np.random.Generator, bodies: Bodies, size: tuple[int, int], horizon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Stand people on the floor, far (small, high up) to near (large, low).

    Args:
        rng: Source of randomness.
        bodies: N posed bodies.
        size: ``(width, height)`` of the image, px.
        horizon: Where the floor begins, fraction of the height.

    Returns:
        Statures ``(N,)`` in px, ascending, and image points ``(N, P, 2)`` in px.
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
    boxes: list[np.ndarray] = []
    for i in range(num):
        extent = high[i] - low[i]
        nearness = min(stature[i] / height, 1.0)
        foot = height * (horizon + (1.0 - horizon) * nearness) - 0.04 * height
        foot += rng.normal(0, 0.03) * height
        # Most heads stay in the picture; a close-up loses its legs.
        foot = max(foot, extent[1] + rng.uniform(-0.03, 0.12) * height)
        overhang = 0.12 * extent[0]
        left = min(-overhang, 0.5 * (width - extent[0]))
        right = max(width + overhang - extent[0], 0.5 * (width - extent[0]))
        trials = []
        for x in rng.uniform(left, right, _TRIES):
            box = np.array([x, foot - extent[1], x + extent[0], foot])
            trials.append((_covered(box, boxes), len(trials), box))
            if trials[-1][0] < _MAX_CROWDING:
                break
        boxes.append(min(trials)[2])
    shift = np.array([box[:2] for box in boxes]) - low
    return stature, flat + shift[:, None]


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
