"""Outlines of rounded solids under weak perspective, as polygons for OpenCV.

Coordinates are image pixels, x right and y down; the centre of the top-left pixel is
(0, 0), as in OpenCV and in MMPose's keypoints.
"""

from __future__ import annotations

import cv2
import numpy as np

FRACTION_BITS = 4  # sub-pixel bits of the fixed-point vertices
FLIP = np.array([1.0, -1.0])  # y up to y down
_ARC = 7  # points of a capsule's end cap
_SWEEP = np.linspace(-1, 1, 12)
_RAMP = np.linspace(0, 1, _ARC)
_RING = np.linspace(0, 2 * np.pi, 12, endpoint=False)
_RING = np.stack([np.cos(_RING), np.sin(_RING)], 1)


def fixed_point(points: np.ndarray) -> np.ndarray:
    """Vertices in pixels to OpenCV's fixed point with ``FRACTION_BITS`` bits."""
    return np.rint(points * (1 << FRACTION_BITS)).astype(np.int32)


def capsules(
    start: np.ndarray, end: np.ndarray, start_radius: np.ndarray, end_radius: np.ndarray
) -> np.ndarray:
    """Outlines of tapered capsules: the hulls of pairs of circles.

    Args:
        start: Centres ``(..., 2)`` of the first circles, px.
        end: Centres ``(..., 2)`` of the second circles, px.
        start_radius: Radii ``(...)``, px.
        end_radius: Radii ``(...)``, px.

    Returns:
        Convex polygons ``(..., 14, 2)``; where one circle holds the other the polygon
        is that circle.
    """
    axis = end - start
    length = np.maximum(np.hypot(axis[..., 0], axis[..., 1]), 1e-6)
    heading = np.arctan2(axis[..., 1], axis[..., 0])
    # The common tangents touch both circles at this angle from the axis.
    touch = np.arccos(np.clip((start_radius - end_radius) / length, -1, 1))
    tip = heading[..., None] + touch[..., None] * (2 * _RAMP - 1)
    tail = heading[..., None] + touch[..., None]
    tail = tail + 2 * (np.pi - touch[..., None]) * _RAMP
    angle = np.stack([tip, tail], -2)
    centre = np.stack([end, start], -2)[..., None, :]
    radius = np.stack([end_radius, start_radius], -1)[..., None, None]
    polygon = centre + radius * np.stack([np.cos(angle), np.sin(angle)], -1)
    return polygon.reshape(*polygon.shape[:-3], 2 * _ARC, 2)


def hulls(centres: np.ndarray, radii: np.ndarray) -> list[np.ndarray]:
    """Convex outlines ``(M, 2)`` of L groups of K circles.

    Args:
        centres: ``(L, K, 2)``, px.
        radii: ``(L, K)``, px.

    Returns:
        L polygons.
    """
    points = centres[:, :, None] + radii[..., None, None] * _RING
    points = points.reshape(len(centres), -1, 2).astype(np.float32)
    return [cv2.convexHull(group)[:, 0] for group in points]


def visible_cap(axis: np.ndarray, half_angle: float, samples: int = 12) -> np.ndarray:
    """The part of a cap of the unit sphere that a viewer on +z sees.

    The cap holds the unit vectors within ``half_angle`` of ``axis``. Its visible part
    is bounded by the rim where that faces the viewer and by the sphere's silhouette
    elsewhere.

    Args:
        axis: Unit vector ``(3,)``, right-handed with z towards the viewer.
        half_angle: In radians, between 0 and pi/2.
        samples: Points of each boundary arc.

    Returns:
        Polygon ``(M, 2)`` of x and y on the unit disc; ``(0, 2)`` if all is hidden.
    """
    cos, sin = np.cos(half_angle), np.sin(half_angle)
    flat = np.hypot(axis[0], axis[1])
    crosses = flat > cos  # the rim meets the silhouette
    if not crosses and axis[2] < 0:
        return np.zeros((0, 2))
    # Rim angle t is counted from its point nearest the viewer; z >= 0 for |t| <= limit.
    limit = np.pi
    if crosses:
        limit = np.arccos(max(min(-cos * axis[2] / (sin * flat), 1.0), -1.0))
    sweep = np.linspace(-1, 1, samples) if samples != len(_SWEEP) else _SWEEP
    cos_tilt, sin_tilt = axis[:2] / flat if flat > 0 else (1.0, 0.0)
    towards = np.array(
        [[-cos_tilt * axis[2], -sin_tilt * axis[2]], [-sin_tilt, cos_tilt]]
    )
    t = limit * sweep
    rim = cos * axis[:2] + sin * (np.stack([np.cos(t), np.sin(t)], 1) @ towards)
    if not crosses:
        return rim
    arc = np.arctan2(sin_tilt, cos_tilt) - np.arccos(min(cos / flat, 1.0)) * sweep
    return np.concatenate([rim, np.stack([np.cos(arc), np.sin(arc)], 1)])
