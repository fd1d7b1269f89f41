"""Toy pose data: drawn scenes with exact annotations, written in COCO's format.

Besides the colours of a scene an id buffer is drawn, which holds for every pixel the
body part that is on top. A joint is visible where that is one of its own parts.

A split is complete once its json exists: images are written first, the json last, each
under another name that is then renamed. Image i of a split depends only on
(seed, split, i, size, number of persons), so any image can be made again alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..io.files import remove_parts, write_atomically
from . import toy_people
from .coco import Box, read_json
from .keypoints import COCO_KEYPOINTS, COCO_LINKS, mirrored, side_of
from .toy_people import PARTS, Body

VERSION = 2  # rises when the same arguments draw other pictures
SPLITS = ('train', 'val')
JPEG_QUALITY = 90
OBSTACLE = 255  # id of objects; persons use 1 + person * len(PARTS) + part
_MAX_CROWDING = 0.6  # part of a box that others may share
_LIMITS = {
    'seed': (0, 2**32 - 1), 'index': (0, 10**7), 'max_persons': (1, 8),
    'num_train': (1, 10**6), 'num_val': (1, 10**6), 'image_size': (64, 2048),
}  # fmt: skip

# A joint shows where one of these parts, of its own side, is on top; the torso on top
# shows one unless it lies further behind the middle of both sides than this, statures.
_SHOWN_BY = {
    'shoulder': ('upper_arm',), 'elbow': ('upper_arm', 'forearm'),
    'wrist': ('forearm', 'hand'), 'hip': ('thigh',), 'knee': ('thigh', 'shank'),
    'ankle': ('shank', 'foot'),
}  # fmt: skip
_TORSO = {'shoulder': (('chest',), 0.085), 'hip': (('chest', 'pelvis'), 0.035)}


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
    bbox: Box
    area: int


@dataclass(frozen=True)
class ToyScene:
    """An image ``(H, W, 3)`` ``uint8`` BGR and the persons in it, far to near."""

    image: np.ndarray
    persons: list[ToyPerson]


class Canvas:
    """An image ``(H, W, 3)`` and its id buffer ``(H, W)``, drawn together."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.ids = np.zeros(image.shape[:2], np.uint8)

    def draw(self, layers: Sequence[tuple[np.ndarray, Any]], number: int) -> None:
        """Fill polygons in the image, and the first with its id in the buffer."""
        bits = toy_people.FRACTION_BITS
        for polygon, color in layers:
            cv2.fillPoly(self.image, [polygon], color, cv2.LINE_AA, bits)
        cv2.fillPoly(self.ids, [layers[0][0]], number, cv2.LINE_8, bits)

    def draw_person(
        self, shapes: Sequence[toy_people.Shape], person: int
    ) -> tuple[Box, int]:
        """Draw a person; box (as COCO's) and area, px, before anything covers it."""
        first = 1 + person * len(PARTS)
        for shape in shapes:
            self.draw(shape.layers, first + PARTS.index(shape.part))
        outline = np.concatenate([shape.layers[0][0] for shape in shapes])
        outline = outline / (1 << toy_people.FRACTION_BITS)
        end = np.array(self.ids.shape[::-1]) - 1.0
        low, high = outline.min(0).clip(0, end), outline.max(0).clip(0, end)
        area = ((self.ids >= first) & (self.ids < first + len(PARTS))).sum()
        return (*low.tolist(), *(high - low).tolist()), int(area)

    def visibility(self, at: dict[str, np.ndarray], person: int) -> list[int]:
        """COCO's flags of the joints of a person at points ``at``."""
        flags = []
        for name in COCO_KEYPOINTS:
            x, y = np.rint(at[name][:2]).astype(int).tolist()
            if not (0 <= y < len(self.ids) and 0 <= x < self.ids.shape[1]):
                flags.append(0)
                continue
            top = int(self.ids[y, x]) - 1 - person * len(PARTS)
            side, joint = side_of(name), name.rpartition('_')[2]
            shown = {f'{side}_{part}' for part in _SHOWN_BY.get(joint, ())} or {name}
            torso, depth = _TORSO.get(joint, ((), 0.0))
            if torso and (at[name] - at[mirrored(name)])[2] / 2 > -depth:
                shown |= set(torso)
            flags.append(1 + (0 <= top < len(PARTS) and PARTS[top] in shown))
        return flags


def _color(rng: np.random.Generator) -> np.ndarray:
    """A muted BGR colour."""
    return (rng.uniform(40, 225) + rng.uniform(-55, 55, 3)).clip(0, 255)


def _backdrop(
    rng: np.random.Generator, size: tuple[int, int], horizon: float
) -> np.ndarray:
    """Wall or sky over a floor, with houses and trees, a little out of focus."""
    width, height = size[0] // 2, size[1] // 2
    down = np.linspace(0, 1, height)[:, None]
    sky = _color(rng) * (1.08 - 0.25 * down)
    rows = np.where(down < horizon, sky, _color(rng) * (0.72 + 0.36 * down))
    # Soft patches of light: a few random values, stretched over the picture.
    patches = cv2.resize(rng.normal(0, 9, (5, 7)), (width, height))
    image = (rows[:, None] + patches[..., None]).clip(0, 255).astype(np.uint8)
    for _ in range(rng.integers(4, 11)):
        color, dark = _color(rng), rng.uniform(0.5, 0.9)
        x, y = rng.uniform((0, horizon - 0.1), (1, horizon + 0.35)) * (width, height)
        w, h = rng.uniform((0.04, 0.08), (0.28, 0.6)) * (width, height)

        def at(right: float, up: float, x=x, y=y, w=w, h=h) -> tuple[int, int]:
            return round(x + right * w), round(y - up * h)

        if rng.random() < 0.5:  # a house, a shelf, with a window or two
            cv2.rectangle(image, at(-0.5, 0), at(0.5, 1), color, -1)
            for low in (0.2, 0.6)[: rng.integers(3)]:
                cv2.rectangle(
                    image, at(-0.3, low), at(0.3, low + 0.2), dark * color, -1
                )
        else:  # a tree; without a trunk a ball
            crowns = rng.normal((0, 1), (0.3, 0.15), (rng.integers(1, 5), 2))
            if len(crowns) > 1:
                cv2.line(image, at(0, 0), at(0, 1), dark * color, round(0.1 * h) + 1)
            for crown in crowns.tolist():
                cv2.circle(image, at(*crown), round(0.3 * dark * h), color, -1)
    return cv2.resize(image, size)


def _place(
    rng: np.random.Generator, bodies: list[Body], size: tuple[int, int], horizon: float
) -> list[tuple[Body, float]]:
    """Stand people on the floor, far (small, high up) to near (large, low).

    Returns:
        Those who found a place, at least one, with points in px, and their stature, px.
    """
    width, height = size
    close_up = rng.random(len(bodies)) < 0.12
    stature = rng.uniform(*np.where(close_up, [[1.1], [1.6]], [[0.5], [1.05]]))
    placed, boxes = [], np.zeros((0, 4))
    for body, tall in zip(bodies, np.sort(stature), strict=True):
        tall = float(tall) * min(height, 1.3 * width)
        points = np.array(list(body.points.values())) * (tall, -tall, 1)
        low = points[:, :2].min(0)
        wide, deep = points[:, :2].max(0) - low
        foot = height * (horizon + (1 - horizon) * min(tall / height, 1) - 0.04)
        # Most heads stay in the picture; a close-up loses its legs.
        foot += rng.normal(0, 0.03) * height
        foot = max(foot, deep + rng.uniform(-0.03, 0.12) * height)
        left = min(-0.12 * wide, (width - wide) / 2)
        trials = np.tile((0, foot - deep, wide, foot), (16, 1))
        trials[:, ::2] += rng.uniform(left, width - wide - left, 16)[:, None]
        # The largest part of the smaller box that the other covers.
        start, end = (f(trials[:, None], boxes) for f in (np.maximum, np.minimum))
        shared = (end[..., 2:] - start[..., :2]).clip(0).prod(-1)
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1).clip(max=wide * deep)
        crowding = (shared / areas).max(1, initial=0.0)
        best = crowding.argmin()
        if crowding[best] < _MAX_CROWDING:
            boxes = np.concatenate([boxes, trials[[best]]])
            points[:, :2] += trials[best, :2] - low
            at = dict(zip(body.points, points, strict=True))
            placed.append((Body(at, body.head, body.radius), tall))
    return placed


def render_scene(
    rng: np.random.Generator, size: tuple[int, int], max_persons: int
) -> ToyScene:
    """Draw an image of ``size`` (width, height); equal generators give equal scenes."""
    horizon = rng.uniform(0.38, 0.6)
    bodies = [
        toy_people.sample_body(rng) for _ in range(rng.integers(1, max_persons + 1))
    ]
    placed = _place(rng, bodies, size, horizon)
    light = np.array([rng.choice([-0.6, 0.6]), -0.8])
    backdrop = _backdrop(rng, size, horizon)
    shadow = np.ones(backdrop.shape[:2], np.float32)
    for body, tall in placed:
        points = np.array(list(body.points.values()))
        foot = round(points[:, 0].mean()), round(points[:, 1].max())
        axes = round(0.17 * tall), round(0.035 * tall)
        cv2.ellipse(shadow, foot, axes, 0, 0, 360, 0.6, -1)
    shadow = cv2.blur(shadow, (9, 9))[..., None]
    canvas = Canvas((backdrop * shadow).astype(np.uint8))
    extents = []
    for i, (body, tall) in enumerate(placed):
        shapes = toy_people.person_shapes(
            body, tall, toy_people.sample_look(rng), light
        )
        extents.append(canvas.draw_person(shapes, i))
        if rng.random() < 0.15:  # a ball, a post or a log before the person
            ends = rng.uniform((0, 0.72), (1, 1.08), (1, 2)) * size
            way = rng.choice([(0, 0), (0, -0.6), (0.25, -0.05)]) * size
            radius = rng.uniform(0.02, 0.06) * size[0] * (1 if way.any() else 1.5)
            ends = np.concatenate([ends, ends + way])
            thing = toy_people.shaded(ends, np.full(2, radius), _color(rng), light)
            canvas.draw(thing, OBSTACLE)
    persons = []
    for i, (body, _) in enumerate(placed):
        flags = np.array(canvas.visibility(body.points, i))[:, None]
        joints = np.array([body.points[name][:2] for name in COCO_KEYPOINTS])
        keypoints = np.concatenate([joints.round(2), flags], 1) * (flags > 0)
        persons.append(ToyPerson(keypoints, *extents[i]))
    grain = rng.uniform(1, 7) * rng.standard_normal(canvas.image.shape, np.float32)
    image = canvas.image * rng.uniform(0.8, 1.15) + rng.uniform(-12, 12) + grain
    return ToyScene(image.clip(0, 255).astype(np.uint8), persons)


def _check(**given: Any) -> None:
    """Raise a ValueError that names the first argument out of its range."""
    for name, value in given.items():
        low, high = _LIMITS[name]
        pair = name == 'image_size'
        numbers = value if pair and isinstance(value, (tuple, list)) else [value]
        sound = len(numbers) == 1 + pair and all(
            isinstance(n, (int, np.integer)) and not isinstance(n, bool)
            for n in numbers
        )
        if not sound or not all(low <= number <= high for number in numbers):
            what = 'a pair (width, height) in px,' if pair else 'a whole number'
            raise ValueError(
                f'{name} must be {what} from {low} to {high}, got {value!r}'
            )


def render_toy_image(
    seed: int,
    split: str,
    index: int,
    image_size: tuple[int, int] = (320, 240),
    max_persons: int = 3,
) -> ToyScene:
    """One image of a toy data set with its annotations.

    Args:
        seed: Seed of the data set, 0 to 2**32 - 1.
        split: ``'train'`` or ``'val'``.
        index: Number of the image in its split, from 0.
        image_size: ``(width, height)``, px, 64 to 2048 each.
        max_persons: The image shows 1 to this many people; at most 8.

    Raises:
        ValueError: If an argument is out of range.
    """
    if split not in SPLITS:
        raise ValueError(f'split must be one of {SPLITS}, got {split!r}')
    _check(seed=seed, index=index, image_size=image_size, max_persons=max_persons)
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    return render_scene(rng, image_size, max_persons)


@dataclass(frozen=True)
class ToyCoco:
    """Where the data lies.

    Attributes:
        root: The folder, ``data_root`` of MMPose's ``CocoDataset``.
        annotations: Split to its json file.
        images: Split to its image folder.
        written: Number of images drawn by this call; 0 if all was there already.
    """

    root: Path
    annotations: dict[str, Path]
    images: dict[str, Path]
    written: int


def generate_toy_coco(
    out_dir: str | os.PathLike[str],
    num_train: int = 2000,
    num_val: int = 200,
    image_size: tuple[int, int] = (320, 240),
    seed: int = 0,
    max_persons: int = 3,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ToyCoco:
    """Write toy images and their COCO annotations.

    A second call with the same arguments finds its files and draws nothing.

    Args:
        out_dir: Folder to write to; it is made if it does not exist.
        num_train: Number of training images, 1 to 1,000,000.
        num_val: Number of held-out images, 1 to 1,000,000.
        image_size: ``(width, height)``, px, 64 to 2048 each.
        seed: 0 to 2**32 - 1.
        max_persons: Every image shows 1 to this many people; at most 8.
        progress: Called with (images done, images in all) after each image.

    Returns:
        Where the data lies.

    Raises:
        ValueError: If an argument is out of range, or ``out_dir`` is a file.
    """
    _check(num_train=num_train, num_val=num_val, image_size=image_size)
    _check(seed=seed, max_persons=max_persons)
    root = Path(out_dir)
    if root.exists() and not root.is_dir():
        raise ValueError(f'out_dir must be a folder, got the file {str(root)!r}')
    annotations, images, written, done = {}, {}, 0, 0
    for split, count in (('train', num_train), ('val', num_val)):
        info = dict(
            description='mmpose_lite toy people', version=VERSION, split=split,
            num_images=int(count), image_size=[int(side) for side in image_size],
            seed=int(seed), max_persons=int(max_persons), opencv=cv2.__version__,
        )  # fmt: skip
        path = annotations[split] = (
            root / 'annotations' / f'person_keypoints_{split}.json'
        )
        folder = images[split] = root / split
        if not _is_complete(path, folder, info):
            for place in (path.parent, folder):
                place.mkdir(parents=True, exist_ok=True)
                remove_parts(place)
            path.unlink(missing_ok=True)  # from here on the split is incomplete
            records, people = [], []
            for i in range(count):
                scene = render_toy_image(seed, split, i, image_size, max_persons)
                options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
                jpeg = cv2.imencode('.jpg', scene.image, options)[1].tobytes()
                name, (width, height) = f'{i:08d}.jpg', info['image_size']
                write_atomically(folder / name, jpeg)
                records.append(
                    dict(id=i + 1, file_name=name, width=width, height=height)
                )
                people += _records(scene, i + 1, len(people) + 1)
                progress(done + i + 1, num_train + num_val)
            category = dict(
                id=1, name='person', supercategory='person',
                keypoints=COCO_KEYPOINTS, skeleton=[(a + 1, b + 1) for a, b in COCO_LINKS],
            )  # fmt: skip
            content = dict(
                info=info, licenses=[], images=records, annotations=people,
                categories=[category],
            )  # fmt: skip
            text = json.dumps(content, separators=(',', ':'))
            write_atomically(path, text.encode())
            written += count
        done += count
    return ToyCoco(root, annotations, images, written)


def _is_complete(annotation: Path, folder: Path, info: dict[str, Any]) -> bool:
    """Whether the split was written to its end with exactly these arguments."""
    try:
        content = read_json(annotation)
        names = [record['file_name'] for record in content['images']]
        present = all((folder / name).stat().st_size for name in names)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return present and content['info'] == info


def _records(scene: ToyScene, number: int, first: int) -> list[dict[str, Any]]:
    """COCO's records of the people in image ``number``."""
    return [
        dict(
            id=first + i, image_id=number, category_id=1, iscrowd=0, bbox=person.bbox,
            area=person.area, num_keypoints=int((person.keypoints[:, 2] > 0).sum()),
            keypoints=[n for x, y, v in person.keypoints.tolist() for n in (x, y, int(v))],
        )
        for i, person in enumerate(scene.persons)
    ]  # fmt: skip
