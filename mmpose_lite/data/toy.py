"""Toy pose data: drawn scenes with exact annotations, written in COCO's format.

Besides the colours of a scene an id buffer is drawn, which holds for every pixel the
body part that is on top. A joint is visible where that is one of its own parts.

A split is complete once its json exists, which is written last. Image i of a split
depends only on (seed, split, i, size, number of persons): it can be made again alone.
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

from ..checks import check, each, one_of, whole
from ..io.files import remove_parts, write_atomically
from . import toy_people as people
from .coco import Box, read_json
from .keypoints import COCO_KEYPOINTS, COCO_LINKS, find_pairs
from .toy_people import PARTS, Body

VERSION = 2  # rises when the same arguments draw other pictures
SPLITS = ('train', 'val')
JPEG_QUALITY = 90
_PAIRS = find_pairs(COCO_KEYPOINTS)
_CATEGORY = dict(id=1, name='person', supercategory='person', keypoints=COCO_KEYPOINTS,
                 skeleton=[(a + 1, b + 1) for a, b in COCO_LINKS])  # fmt: skip
OBSTACLE = 255  # id of objects; persons use 1 + person * len(PARTS) + part
_RULES = dict(
    seed=whole(0, 2**32 - 1), split=one_of(*SPLITS), index=whole(0, 10**7),
    num_train=whole(1, 10**6), num_val=whole(1, 10**6), max_persons=whole(1, 8),
    image_size=each(whole(64, 2048), 2),
)  # fmt: skip

# A joint shows where one of these parts, of its own side, is on top; the torso on top
# shows one unless it lies further behind the middle of both sides than this, statures.
_SHOWN_BY = {'elbow': ('upper_arm', 'forearm'), 'wrist': ('forearm', 'hand'),
             'knee': ('thigh', 'shank'), 'ankle': ('shank', 'foot'),
             'shoulder': ('upper_arm',), 'hip': ('thigh',)}  # fmt: skip
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
        self.ids: np.ndarray = np.zeros(image.shape[:2], np.uint8)

    def draw(self, layers: Sequence[people.Layer], number: int) -> None:
        """Fill polygons in the image, and the first with its id in the buffer."""
        bits = people.FRACTION_BITS
        for polygon, color in layers:
            cv2.fillPoly(self.image, [polygon], color, cv2.LINE_AA, bits)
        cv2.fillPoly(self.ids, [layers[0][0]], number, cv2.LINE_8, bits)

    def draw_person(self, shapes: list[people.Shape], person: int) -> tuple[Box, int]:
        """Draw a person; box (COCO's) and area, px, before anything covers it."""
        first = 1 + person * len(PARTS)
        for shape in shapes:
            self.draw(shape.layers, first + PARTS.index(shape.part))
        outline = np.concatenate([shape.layers[0][0] for shape in shapes])
        outline = outline / (1 << people.FRACTION_BITS)
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
            side, twin = _PAIRS.get(name, ('middle', name))
            joint = name.rpartition('_')[2]
            shown = {f'{side}_{part}' for part in _SHOWN_BY.get(joint, ())} or {name}
            torso, depth = _TORSO.get(joint, ((), 0.0))
            if (at[name] - at[twin])[2] / 2 > -depth:
                shown |= set(torso)
            flags.append(1 + (0 <= top < len(PARTS) and PARTS[top] in shown))
        return flags


def _thing(
    rng: np.random.Generator, size: np.ndarray, light: np.ndarray
) -> list[people.Layer]:
    """A ball, a post or a crate somewhere on the floor."""
    foot = rng.uniform((0, 0.45), (1, 1.05)) * size
    extent = rng.choice([(0, 0), (0, -0.5), (0.16, -0.35)]) * rng.uniform(0.4, 1.5)
    corners = foot + extent * size * [(0, 0), (0, 1), (1, 0), (1, 1)]
    radii = np.full(4, rng.uniform(0.01, 0.05) * size[0])
    return people.shaded(corners, radii, people.sample_color(rng), light)


def _backdrop(rng: np.random.Generator, size: np.ndarray, horizon: float) -> np.ndarray:
    """Wall or sky over a floor, in patches of light."""
    down = np.linspace(0, 1, size[1])[:, None]
    sky, floor = people.sample_color(rng), people.sample_color(rng)
    rows = np.where(down < horizon, sky * (1.1 - down / 4), floor * (0.7 + 0.4 * down))
    patches = cv2.resize(rng.normal(0, 9, (5, 7)), size.tolist())
    return (rows[:, None] + patches[..., None]).clip(0, 255).astype(np.uint8)


def _place(
    rng: np.random.Generator, bodies: list[Body], size: np.ndarray, horizon: float
) -> list[tuple[Body, float]]:
    """Bodies side by side on the floor, far to near, px; with their statures."""
    width, height = size.tolist()
    close_up = rng.random(len(bodies)) < 0.12
    stature = rng.uniform(*np.where(close_up, [[1.1], [1.6]], [[0.5], [1.05]]))
    columns = (rng.permutation(len(bodies)) + rng.uniform(0.2, 0.8)) / len(bodies)
    placed = []
    for body, tall, column in zip(bodies, np.sort(stature), columns, strict=True):
        tall *= min(height, 1.3 * width)
        points = np.array(list(body.points.values())) * (tall, -tall, 1)
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        wide, deep = high - low
        foot = height * (horizon + (1 - horizon) * min(tall / height, 1) - 0.04)
        foot += rng.normal(0, 0.03) * height
        # Most heads stay in the picture; a close-up loses its legs.
        foot = max(foot, deep + rng.uniform(-0.03, 0.12) * height)
        edge = min(-0.12 * wide, (width - wide) / 2)
        left = np.clip(column * width - wide / 2, edge, width - wide - edge)
        points[:, :2] += (left, foot - deep) - low
        at = dict(zip(body.points, points, strict=True))
        placed.append((body._replace(points=at), tall))
    return placed


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
        index: Number of the image in its split, from 0.
        image_size: ``(width, height)``, px, 64 to 2048 each.
        max_persons: The image shows 1 to this many people; at most 8.

    Raises:
        ValueError: If an argument is out of range.
    """
    given = dict(seed=seed, split=split, index=index, image_size=image_size)
    for name, value in {**given, 'max_persons': max_persons}.items():
        check(name, value, _RULES[name])
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    size, horizon = np.array(image_size), rng.uniform(0.38, 0.6)
    bodies = [people.sample_body(rng) for _ in range(rng.integers(1, max_persons + 1))]
    placed = _place(rng, bodies, size, horizon)
    light = np.array([rng.choice([-0.6, 0.6]), -0.8])
    canvas, extents = Canvas(_backdrop(rng, size, horizon)), []
    for _ in range(rng.integers(4, 11)):
        canvas.draw(_thing(rng, size, light), OBSTACLE)
    for body, tall in placed:  # their shadows
        x, y = (body.points['left_heel'] + body.points['right_heel'])[:2].tolist()
        ellipse = (x / 2, y / 2 + 0.02 * tall), (0.34 * tall, 0.07 * tall), 0.0
        floor = canvas.image[np.clip(round(y / 2), 0, size[1] - 1), 0]
        cv2.ellipse(canvas.image, ellipse, people.toned(floor, 0.6), -1, cv2.LINE_AA)
    for i, (body, tall) in enumerate(placed):
        look = people.sample_look(rng)
        shapes = people.person_shapes(body, tall, look, light)
        extents.append(canvas.draw_person(shapes, i))
        if rng.random() < 0.15:
            canvas.draw(_thing(rng, size, light), OBSTACLE)
    persons = []
    for i, (body, _) in enumerate(placed):
        flags = np.array(canvas.visibility(body.points, i))[:, None]
        joints = np.array([body.points[name][:2] for name in COCO_KEYPOINTS])
        keypoints = np.concatenate([joints.round(2), flags], 1) * (flags > 0)
        persons.append(ToyPerson(keypoints, *extents[i]))
    grain = rng.uniform(1, 7) * rng.standard_normal(canvas.image.shape, np.float32)
    image = canvas.image * rng.uniform(0.8, 1.15) + rng.uniform(-12, 12) + grain
    return ToyScene(image.clip(0, 255).astype(np.uint8), persons)


@dataclass(frozen=True)
class ToyCoco:
    """Where the data lies.

    Attributes:
        root: The folder, ``data_root`` of MMPose's ``CocoDataset``.
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
        num_train: Training images, 1 to 1,000,000, as ``num_val`` of held-out ones.
        seed: 0 to 2**32 - 1.
        image_size: ``(width, height)``, px, 64 to 2048 each.
        max_persons: Every image shows 1 to this many people; at most 8.
        progress: Called with (images done, images in all) after each image.

    Raises:
        ValueError: If an argument is out of range, or ``out_dir`` is a file.
    """
    given = dict(num_train=num_train, num_val=num_val, image_size=image_size, seed=seed)
    for name, value in {**given, 'max_persons': max_persons}.items():
        check(name, value, _RULES[name])
    root = Path(out_dir)
    if root.exists() and not root.is_dir():
        raise ValueError(f'out_dir must be a folder, got the file {str(root)!r}')
    files = {s: root / 'annotations' / f'person_keypoints_{s}.json' for s in SPLITS}
    folders = {s: root / s for s in SPLITS}
    width, height = (int(side) for side in image_size)
    written = done = 0
    for split, count in ('train', num_train), ('val', num_val):
        info: dict[str, Any] = dict(
            description='mmpose_lite toy people', version=VERSION, split=split,
            num_images=int(count), image_size=[width, height], seed=int(seed),
            max_persons=int(max_persons), opencv=cv2.__version__,
        )  # fmt: skip
        path, folder = files[split], folders[split]
        if not _is_complete(path, folder, info):
            for place in (path.parent, folder):
                place.mkdir(parents=True, exist_ok=True)
                remove_parts(place)
            path.unlink(missing_ok=True)  # from here on the split is incomplete
            images, persons = [], list[dict[str, Any]]()
            for i in range(count):
                scene = render_toy_image(seed, split, i, image_size, max_persons)
                options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
                jpeg = cv2.imencode('.jpg', scene.image, options)[1].tobytes()
                write_atomically(folder / f'{i:08d}.jpg', jpeg)
                names = dict(id=i + 1, file_name=f'{i:08d}.jpg')
                images.append(dict(names, width=width, height=height))
                for person in scene.persons:
                    rows = person.keypoints.tolist()
                    persons.append(dict(
                        id=len(persons) + 1, image_id=i + 1, category_id=1, iscrowd=0,
                        bbox=person.bbox, area=person.area,
                        num_keypoints=sum(flag > 0 for *_, flag in rows),
                        keypoints=[n for *xy, v in rows for n in (*xy, int(v))],
                    ))  # fmt: skip
                progress(done + i + 1, num_train + num_val)
            content = dict(info=info, licenses=[], images=images, annotations=persons)
            text = json.dumps(
                content | dict(categories=[_CATEGORY]), separators=(',', ':')
            )
            write_atomically(path, text.encode())
            written += count
        done += count
    return ToyCoco(root, files, folders, written)


def _is_complete(annotation: Path, folder: Path, info: dict[str, Any]) -> bool:
    """Whether the split was written to its end with exactly these arguments."""
    try:
        content = read_json(annotation)
        names = [record['file_name'] for record in content['images']]
        present = all((folder / name).stat().st_size for name in names)
        return present and content['info'] == info
    except (OSError, ValueError, KeyError, TypeError):
        return False
