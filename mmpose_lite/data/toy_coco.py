"""Writing of toy pose data in COCO's format.

A split is complete once its json exists: images are written first, the json last, each
under another name that is then renamed. Image i of a split depends only on
(seed, split, i, size, number of persons), so any image can be made again alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..io.files import remove_parts, write_atomically
from .toy_body import KEYPOINTS
from .toy_scene import MAX_PERSONS, ToyScene, render_scene

VERSION = 1  # rises when the same arguments draw other pictures
SPLITS = ('train', 'val')
JPEG_QUALITY = 90
SKELETON = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8),
    (7, 9), (8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip


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


def _check_number(name: str, value: object, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ValueError(f'{name} must be a whole number, got {value!r}')
    if not low <= value <= high:
        raise ValueError(f'{name} must be from {low} to {high}, got {value}')
    return int(value)


def _check_size(image_size: tuple[int, int]) -> tuple[int, int]:
    try:
        width, height = image_size
    except (TypeError, ValueError):
        raise ValueError(
            f'image_size must be a pair (width, height) in px, got {image_size!r}'
        ) from None
    return (
        _check_number('image_size[0] (width)', width, 64, 2048),
        _check_number('image_size[1] (height)', height, 64, 2048),
    )


def render_toy_image(
    seed: int,
    split: str,
    index: int,
    image_size: tuple[int, int] = (320, 240),
    max_persons: int = 3,
) -> ToyScene:
    """Draw one image of a toy data set.

    Args:
        seed: Seed of the data set, 0 to 2**32 - 1.
        split: ``'train'`` or ``'val'``.
        index: Number of the image in its split, from 0.
        image_size: ``(width, height)``, px, 64 to 2048 each.
        max_persons: The image shows 1 to this many people; at most 8.

    Returns:
        The image and its annotations.

    Raises:
        ValueError: If an argument is out of range.
    """
    if split not in SPLITS:
        raise ValueError(f'split must be one of {SPLITS}, got {split!r}')
    seed = _check_number('seed', seed, 0, 2**32 - 1)
    index = _check_number('index', index, 0, 10**7)
    max_persons = _check_number('max_persons', max_persons, 1, MAX_PERSONS)
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    return render_scene(rng, _check_size(image_size), max_persons)


def generate_toy_coco(
    out_dir: str | os.PathLike[str],
    num_train: int = 2000,
    num_val: int = 200,
    image_size: tuple[int, int] = (320, 240),
    seed: int = 0,
    max_persons: int = 3,
    progress: Callable[[int, int], None] | None = None,
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
    counts = {
        'train': _check_number('num_train', num_train, 1, 10**6),
        'val': _check_number('num_val', num_val, 1, 10**6),
    }
    size = _check_size(image_size)
    seed = _check_number('seed', seed, 0, 2**32 - 1)
    max_persons = _check_number('max_persons', max_persons, 1, MAX_PERSONS)
    root = Path(out_dir)
    if root.exists() and not root.is_dir():
        raise ValueError(f'out_dir must be a folder, got the file {str(root)!r}')

    annotations, images, written, done = {}, {}, 0, 0
    for split, count in counts.items():
        info = {
            'description': 'mmpose_lite toy people', 'version': VERSION,
            'split': split, 'num_images': count, 'image_size': list(size),
            'seed': seed, 'max_persons': max_persons, 'opencv': cv2.__version__,
        }  # fmt: skip
        annotations[split] = root / 'annotations' / f'person_keypoints_{split}.json'
        images[split] = root / split
        if not _is_complete(annotations[split], images[split], info):
            step = None
            if progress is not None:
                step = _shifted(progress, done, sum(counts.values()))
            _write_split(annotations[split], images[split], info, step)
            written += count
        done += count
    return ToyCoco(root, annotations, images, written)


def _shifted(
    progress: Callable[[int, int], None], done: int, total: int
) -> Callable[[int], None]:
    return lambda finished: progress(done + finished, total)


def _file_name(index: int) -> str:
    return f'{index:08d}.jpg'


def _is_complete(annotation: Path, folder: Path, info: dict[str, Any]) -> bool:
    """Whether the split was written to its end with exactly these arguments."""
    try:
        found = json.loads(annotation.read_text())['info']
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if found != info or not folder.is_dir():
        return False
    present = {entry.name for entry in os.scandir(folder) if entry.stat().st_size}
    return all(_file_name(i) in present for i in range(info['num_images']))


def _write_split(
    annotation: Path,
    folder: Path,
    info: dict[str, Any],
    step: Callable[[int], None] | None,
) -> None:
    annotation.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    annotation.unlink(missing_ok=True)  # from here on the split is incomplete
    for place in (annotation.parent, folder):
        remove_parts(place)
    size = tuple(info['image_size'])
    images: list[dict[str, Any]] = []
    persons: list[dict[str, Any]] = []
    for index in range(info['num_images']):
        scene = render_toy_image(
            info['seed'], info['split'], index, size, info['max_persons']
        )
        _, jpeg = cv2.imencode(
            '.jpg', scene.image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        write_atomically(f'{folder}/{_file_name(index)}', jpeg.tobytes())
        images.append(
            {
                'id': index + 1,
                'file_name': _file_name(index),
                'width': size[0],
                'height': size[1],
            }
        )
        persons += _person_records(scene, index + 1, len(persons) + 1)
        if step is not None:
            step(index + 1)
    category = {
        'id': 1, 'name': 'person', 'supercategory': 'person',
        'keypoints': list(KEYPOINTS), 'skeleton': [list(pair) for pair in SKELETON],
    }  # fmt: skip
    content = {
        'info': info, 'licenses': [], 'images': images, 'annotations': persons,
        'categories': [category],
    }  # fmt: skip
    text = json.dumps(content, separators=(',', ':'))
    write_atomically(annotation, text.encode())


def _person_records(
    scene: ToyScene, image_id: int, first_id: int
) -> list[dict[str, Any]]:
    return [
        {
            'id': first_id + i, 'image_id': image_id, 'category_id': 1, 'iscrowd': 0,
            'bbox': list(person.bbox), 'area': person.area,
            'num_keypoints': int((person.keypoints[:, 2] > 0).sum()),
            'keypoints': [
                value
                for x, y, v in person.keypoints.tolist()
                for value in (x, y, int(v))
            ],
        }
        for i, person in enumerate(scene.persons)
    ]  # fmt: skip
