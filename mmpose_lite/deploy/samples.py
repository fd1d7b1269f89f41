"""Images with boxes around people: what exports are compared on."""

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
class Sample:
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
        """How many crops the sample gives."""
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
class Samples:
    """Samples and where they came from.

    Attributes:
        samples: At least one.
        name: For people and for the contract.
    """

    samples: tuple[Sample, ...]
    name: str

    def __post_init__(self) -> None:
        if not self.samples:
            raise ValueError(f'there are no people, or no images, in {self.name}')

    @property
    def people(self) -> int:
        """Crops in all."""
        return sum(sample.people for sample in self.samples)

    def first(self, people: int) -> Samples:
        """The first samples, until there are at least so many people."""
        kept, found = [], 0
        for sample in self.samples:
            if found >= people:
                break
            kept.append(sample)
            found += sample.people
        return Samples(tuple(kept), self.name)


class NotCoco(ValueError):
    """A data set, perhaps a good one, that is no COCO json."""


def coco_samples(
    annotations: str | os.PathLike[str], images: str | os.PathLike[str]
) -> Samples:
    """People with keypoints in a COCO json, by their true boxes.

    Args:
        annotations: The json.
        images: Folder of its images.

    Raises:
        OSError: If a file is missing.
        ValueError: If the json is of another kind, or there are no people.
    """
    path = Path(annotations)
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} is damaged: {error}') from error
    if not isinstance(content, dict) or not {'images', 'annotations'} <= set(content):
        raise NotCoco(f'{path} is no COCO json with images and annotations')
    people: dict[int, list[Mapping[str, Any]]] = {}
    for record in content['annotations']:
        if record.get('iscrowd') or not any(record.get('keypoints', ())):
            continue
        if 'bbox' not in record:
            raise ValueError(f'{path}: annotation {record.get("id")} has no bbox')
        *_, width, height = record['bbox']
        if width > 0 and height > 0:
            people.setdefault(record['image_id'], []).append(record)
    samples = []
    for image in content['images']:
        records = people.get(image['id'], ())
        file = Path(images) / image['file_name']
        if not records:
            continue
        if not file.is_file():
            raise FileNotFoundError(f'{file}, which {path} names, is missing')
        boxes = tuple(_corners(record['bbox']) for record in records)
        samples.append(Sample(boxes, file, annotations=tuple(records)))
    return Samples(tuple(samples), path.name)


def _corners(box: Sequence[float]) -> tuple[float, ...]:
    x, y, width, height = box
    return x, y, x + width, y + height


def folder_samples(folder: str | os.PathLike[str]) -> Samples:
    """All images of a folder, each as a whole.

    Raises:
        OSError: If the folder is missing.
        ValueError: If it holds no images.
    """
    files = [p for p in sorted(Path(folder).iterdir()) if p.suffix.lower() in SUFFIXES]
    return Samples(tuple(Sample(None, file) for file in files), Path(folder).name)


def toy_samples(count: int = 16) -> Samples:
    """Drawn people, where there are no photographs."""

    def draw() -> Iterator[Sample]:
        for seed in range(count):
            people = render_toy_image(seed, 'val', seed).persons
            yield Sample(tuple(_corners(p.bbox) for p in people), seed=seed)

    return Samples(tuple(draw()), 'drawn toy people')


def config_samples(config: Mapping[str, Any]) -> Samples | None:
    """Validation data of a config; None if it names none, or they are not here.

    Raises:
        OSError: If some of them are here and some are missing.
        ValueError: If they are damaged, or of another kind than COCO's.
    """
    dataset = (config.get('val_dataloader') or {}).get('dataset') or {}
    root = Path(dataset.get('data_root') or '')
    annotations = root / (dataset.get('ann_file') or '')
    if not annotations.is_file():
        return None
    prefix = (dataset.get('data_prefix') or {}).get('img', '')
    return coco_samples(annotations, root / prefix)


def find_samples(
    paths: Sequence[str | os.PathLike[str]], config: Mapping[str, Any]
) -> Samples:
    """What was named, else the config's validation data, else drawn people.

    Args:
        paths: A folder of images; or a COCO json and the folder of its images.
        config: Of the pose estimator.

    Raises:
        OSError: If what was named is missing, or some of the validation data.
        ValueError: If there are no people in it, or it is damaged.
    """
    if len(paths) > 2:
        raise ValueError('images are a folder, or a json and a folder')
    if paths:
        return (folder_samples if len(paths) == 1 else coco_samples)(*paths)
    try:
        return config_samples(config) or toy_samples()
    except NotCoco:
        return toy_samples()
