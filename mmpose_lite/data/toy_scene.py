"""One toy image with its annotations: people and objects drawn from far to near.

Besides the colours an id buffer is drawn, which holds for every pixel the body part
that is on top. A joint is visible where that is one of its own parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .toy_backdrop import add_grain, draw_backdrop, sample_obstacle
from .toy_body import KEYPOINTS, pose_bodies
from .toy_layout import cast_shadows, place_people
from .toy_look import sample_look
from .toy_parts import OWNERS, PART, PARTS, TORSO_DEPTH, TORSO_PARTS
from .toy_person import Shape, people_shapes
from .toy_pose import sample_angles, sample_bones, sample_roots
from .toy_shapes import FRACTION_BITS

MAX_PERSONS = 8
OBSTACLE = 255  # id of objects; persons use 1 + person * len(PARTS) + part
_OBSTACLE_CHANCE = 0.15  # of an object in front of a person
_JOINTS = len(KEYPOINTS)
_OPPOSITE = np.array([0, *(i + 1 - 2 * ((i + 1) % 2) for i in range(1, _JOINTS))])


@dataclass(frozen=True)
class ToyPerson:
    """Annotation of one person in COCO's terms.

    Attributes:
        keypoints: ``(17, 3)``: x, y in px and v; v is 2 for visible, 1 for hidden
            inside the image, 0 (with x = y = 0) for outside.
        bbox: ``(x, y, width, height)`` of the drawn person within the image, px.
        area: Pixels of the person within the image, hidden ones included.
    """

    keypoints: np.ndarray
    bbox: tuple[float, float, float, float]
    area: int


@dataclass(frozen=True)
class ToyScene:
    """An image ``(H, W, 3)`` ``uint8`` BGR and the persons in it, far to near."""

    image: np.ndarray
    persons: list[ToyPerson]


class Canvas:
    """Image and id buffer that are drawn together.

    Attributes:
        image: ``(H, W, 3)`` ``uint8`` BGR.
        ids: ``(H, W)`` ``uint8``; 0 where nothing stands.
    """

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.ids = np.zeros(image.shape[:2], np.uint8)

    def draw(self, polygon: np.ndarray, color: Sequence[float], number: int) -> None:
        """Fill a fixed-point polygon in the image, and with its id in the buffer."""
        cv2.fillPoly(self.image, [polygon], color, cv2.LINE_AA, FRACTION_BITS)
        cv2.fillPoly(self.ids, [polygon], number, cv2.LINE_8, FRACTION_BITS)

    def draw_person(self, shapes: list[Shape], person: int) -> None:
        """Draw the shapes of a person; the first polygon of each is its outline."""
        fill, smooth, image = cv2.fillPoly, cv2.LINE_AA, self.image
        for shape in shapes:
            for polygon, color in zip(shape.polygons, shape.colors, strict=True):
                fill(image, [polygon], color, smooth, FRACTION_BITS)
            number = 1 + person * len(PARTS) + shape.part
            fill(self.ids, [shape.polygons[0]], number, cv2.LINE_8, FRACTION_BITS)


def visibility(
    joints: np.ndarray, depth: np.ndarray, ids: np.ndarray, person: int
) -> np.ndarray:
    """COCO's visibility flags of one person.

    Args:
        joints: ``(17, 2)``, px.
        depth: ``(17,)`` towards the camera, statures.
        ids: The finished id buffer ``(H, W)``.
        person: Index of the person.

    Returns:
        ``(17,)``: 2 visible, 1 hidden, 0 outside the image.
    """
    height, width = ids.shape
    column, row = np.rint(joints).astype(int).T
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    top = ids[row.clip(0, height - 1), column.clip(0, width - 1)].astype(int)
    part = top - 1 - person * len(PARTS)
    own = (part >= 0) & (part < len(PARTS)) & (top != OBSTACLE)
    shown = OWNERS[np.arange(_JOINTS), part.clip(0, len(PARTS) - 1)]
    nearer = 0.5 * (depth - depth[_OPPOSITE])  # than the middle of left and right
    for i, name in enumerate(KEYPOINTS):
        joint = name.rpartition('_')[2]
        if joint in TORSO_PARTS and nearer[i] > -TORSO_DEPTH[joint]:
            shown[i] |= part[i] in [PART[p] for p in TORSO_PARTS[joint]]
    return np.where(inside, np.where(own & shown, 2, 1), 0)


def render_scene(
    rng: np.random.Generator, size: tuple[int, int], max_persons: int
) -> ToyScene:
    """Draw one image.

    Args:
        rng: Source of all randomness: equal generators give equal scenes.
        size: ``(width, height)``, px.
        max_persons: Up to this many people, at least one.

    Returns:
        The image and its annotations.
    """
    num = int(rng.integers(1, max_persons + 1))
    horizon = rng.uniform(0.38, 0.6)
    bones = sample_bones(rng, num)
    bodies = pose_bodies(sample_angles(rng, num), sample_roots(rng, num), bones)
    bodies, stature, xy = place_people(rng, bodies, size, horizon)
    looks = [sample_look(rng) for _ in stature]
    light = np.array([rng.choice([-0.6, 0.6]), -0.8])

    backdrop = draw_backdrop(rng, size, horizon)
    cast_shadows(backdrop, xy, stature)
    canvas = Canvas(cv2.resize(backdrop, size))
    hidden_by_object = rng.random(len(looks)) < _OBSTACLE_CHANCE
    extents = []
    for i, shapes in enumerate(people_shapes(bodies, xy, stature, looks, light)):
        canvas.draw_person(shapes, i)
        extents.append(_extent(canvas.ids, shapes, i))
        if hidden_by_object[i]:
            for polygon, color in sample_obstacle(rng, size):
                canvas.draw(polygon, color, OBSTACLE)

    persons = []
    for i, (bbox, area) in enumerate(extents):
        joints, depth = xy[i, :_JOINTS], bodies.points[i, :_JOINTS, 2]
        flags = visibility(joints, depth, canvas.ids, i)[:, None]
        keypoints = np.concatenate([np.round(joints, 2), flags], 1) * (flags > 0)
        persons.append(ToyPerson(keypoints, bbox, area))
    exposure, offset, grain = rng.random(3).tolist()
    image = cv2.convertScaleAbs(
        canvas.image, alpha=0.8 + 0.35 * exposure, beta=24 * offset - 12
    )
    add_grain(image, rng, 0.05 + 0.25 * grain)
    return ToyScene(image, persons)


def _extent(
    ids: np.ndarray, shapes: list[Shape], person: int
) -> tuple[tuple[float, float, float, float], int]:
    """Box and area, px, of a person just drawn, before anything covers it."""
    height, width = ids.shape
    corners = np.concatenate([shape.polygons[0] for shape in shapes])
    left, top, extent_x, extent_y = cv2.boundingRect(corners[:, None])
    unit = 1 << FRACTION_BITS
    right = min((left + extent_x - 1) / unit, width - 1.0)
    bottom = min((top + extent_y - 1) / unit, height - 1.0)
    left, top = max(left / unit, 0.0), max(top / unit, 0.0)
    crop = ids[int(top) : int(bottom) + 1, int(left) : int(right) + 1]
    first = 1 + person * len(PARTS)
    area = cv2.countNonZero(cv2.inRange(crop, first, first + len(PARTS) - 1))
    return (left, top, right - left, bottom - top), int(area)
