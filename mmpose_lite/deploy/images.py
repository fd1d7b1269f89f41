"""Images with boxes around people: what exports are compared and calibrated on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import render_toy_image
from ..io.images import read_image

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.webp')


@dataclass(frozen=True)
class Scene:
    """An image and the people in it, read when it is asked for.

    Attributes:
        boxes: Left, top, right, bottom of each person, px; None is the whole image.
        path: Of the image; None for a drawn one.
        seed: Of a drawn image.
        annotations: COCO's records of the people, if there are any.
    """

    boxes: tuple[tuple[float, ...], ...] | None
    path: Path | None = None
    seed: int = 0
    annotations: tuple[Mapping[str, Any], ...] = ()

    @property
    def people(self) -> int:
        """How many crops the scene gives."""
        return 1 if self.boxes is None else len(self.boxes)

    def image(self) -> NDArray[np.uint8]:
        """``(H, W, 3)``, BGR.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it is damaged or no image.
        """
        if self.path is None:
            return render_toy_image(self.seed, 'val', self.seed).image
        return read_image(self.path)


@dataclass(frozen=True)
class Scenes:
    """Scenes and where they came from.

    Attributes:
        scenes: At least one.
        name: For people and for the contract.
    """

    scenes: tuple[Scene, ...]
    name: str

    def __post_init__(self) -> None:
        if not self.scenes:
            raise ValueError(f'there are no people, or no images, in {self.name}')

    @property
    def people(self) -> int:
        """Crops in all."""
        return sum(scene.people for scene in self.scenes)

    def first(self, people: int) -> Scenes:
        """The first scenes, until there are at least so many people."""
        kept, found = [], 0
        for scene in self.scenes:
            if found >= people:
                break
            kept.append(scene)
            found += scene.people
        return Scenes(tuple(kept), self.name)


def coco_scenes(
    annotations: str | os.PathLike[str], images: str | os.PathLike[str]
) -> Scenes:
    """People with keypoints in a COCO json, by their true boxes.

    Args:
        annotations: The json.
        images: Folder of its images.

    Raises:
        OSError: If a file is missing.
        ValueError: If the json is of another kind, or there are no people.
    """
    path = Path(annotations)
    content = json.loads(path.read_text(encoding='utf-8'))
    if not isinstance(content, dict) or not {'images', 'annotations'} <= set(content):
        raise ValueError(f'{path} is no COCO json with images and annotations')
    people: dict[int, list[Mapping[str, Any]]] = {}
    for record in content['annotations']:
        *_, width, height = record['bbox']
        if record.get('iscrowd') or not any(record.get('keypoints', ())):
            continue
        if width > 0 and height > 0:
            people.setdefault(record['image_id'], []).append(record)
    scenes = []
    for image in content['images']:
        records = people.get(image['id'], ())
        file = Path(images) / image['file_name']
        if not records:
            continue
        if not file.is_file():
            raise FileNotFoundError(f'{file}, which {path} names, is missing')
        boxes = tuple(_corners(record['bbox']) for record in records)
        scenes.append(Scene(boxes, file, annotations=tuple(records)))
    return Scenes(tuple(scenes), path.name)


def _corners(box: Sequence[float]) -> tuple[float, ...]:
    x, y, width, height = box
    return x, y, x + width, y + height


def folder_scenes(folder: str | os.PathLike[str]) -> Scenes:
    """All images of a folder, each as a whole.

    Raises:
        OSError: If the folder is missing.
        ValueError: If it holds no images.
    """
    files = [p for p in sorted(Path(folder).iterdir()) if p.suffix.lower() in SUFFIXES]
    return Scenes(tuple(Scene(None, file) for file in files), Path(folder).name)


def toy_scenes(count: int = 16) -> Scenes:
    """Drawn people, where there are no photographs."""

    def draw() -> Iterator[Scene]:
        for seed in range(count):
            people = render_toy_image(seed, 'val', seed).persons
            yield Scene(tuple(_corners(p.bbox) for p in people), seed=seed)

    return Scenes(tuple(draw()), 'drawn toy people')


def config_scenes(config: Mapping[str, Any]) -> Scenes:
    """Validation data of a config.

    Raises:
        OSError: If they are not here.
        ValueError: If the config has none, or they are of another kind than COCO's.
    """
    dataset = (config.get('val_dataloader') or {}).get('dataset') or {}
    if 'ann_file' not in dataset:
        raise ValueError('the config names no annotations of validation data')
    root = Path(dataset.get('data_root') or '')
    prefix = (dataset.get('data_prefix') or {}).get('img', '')
    return coco_scenes(root / dataset['ann_file'], root / prefix)


def find_scenes(arguments: Sequence[str] | None, config: Mapping[str, Any]) -> Scenes:
    """What was named, else the config's validation data, else drawn people.

    Args:
        arguments: A folder of images; or a COCO json and the folder of its images.
        config: Of the pose estimator.

    Raises:
        OSError: If what was named is missing.
        ValueError: If there are no people in it.
    """
    if arguments:
        if len(arguments) > 2:
            raise ValueError('images are a folder, or a json and a folder')
        return (folder_scenes if len(arguments) == 1 else coco_scenes)(*arguments)
    try:
        return config_scenes(config)
    except (OSError, ValueError):
        return toy_scenes()
