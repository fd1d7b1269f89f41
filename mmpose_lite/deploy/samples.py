"""Images with boxes around people: what exports are compared on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data import render_toy_image
from ..data.coco import corners, images_of, read_json
from ..io.images import images_in, read_image

FilePath = str | os.PathLike[str]


@dataclass(frozen=True)
class Sample:
    """An image and the people in it, read when it is asked for.

    Attributes:
        boxes: Left, top, right, bottom of each person, px; None is the whole image.
        path: None if the image is drawn, from ``seed``.
        annotations: COCO's records of the people, if there are any.
        ignored: Those of people without keypoints and of crowds, where an evaluation
            counts nothing as wrong.
    """

    boxes: tuple[tuple[float, ...], ...] | None
    path: Path | None = None
    seed: int = 0
    annotations: tuple[Mapping[str, Any], ...] = ()
    ignored: tuple[Mapping[str, Any], ...] = ()

    @property
    def people(self) -> int:
        """Number of crops."""
        return 1 if self.boxes is None else len(self.boxes)

    def image(self) -> NDArray[np.uint8]:
        """``(H, W, 3)``, BGR; OSError if it is missing, ValueError if it is damaged."""
        if self.path is None:
            return render_toy_image(self.seed, 'val', self.seed).image
        return read_image(self.path)


@dataclass(frozen=True)
class Samples:
    """Samples, at least one, and where they came from, for people and the contract."""

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
        before = accumulate((one.people for one in self.samples), initial=0)
        pairs = zip(self.samples, before, strict=False)
        return Samples(tuple(one for one, n in pairs if n < people), self.name)


def coco_samples(annotations: FilePath, folder: FilePath) -> Samples:
    """People with keypoints in a COCO json and its folder, by their true boxes."""
    return _with_keypoints(read_json(annotations), Path(annotations), Path(folder))


def _with_keypoints(content: Any, source: Path, folder: Path) -> Samples:
    samples = []
    for image in images_of(content, str(source)):
        people = [person for person in image.people if person.labelled]
        file = folder / image.name
        if people and not file.is_file():
            raise FileNotFoundError(f'{file}, which {source} names, is missing')
        if people:
            boxes = tuple(person.box for person in people)
            records = tuple(person.record for person in people)
            others = [person.record for person in image.people if not person.labelled]
            samples.append(
                Sample(boxes, file, 0, records, ignored=(*others, *image.crowds))
            )
    return Samples(tuple(samples), source.name)


def folder_samples(folder: FilePath) -> Samples:
    """All images of a folder, each as a whole."""
    files = images_in(folder)
    return Samples(tuple(Sample(None, file) for file in files), Path(folder).name)


def toy_samples(count: int = 16) -> Samples:
    """Drawn people, where there are no photographs."""
    drawn = (render_toy_image(seed, 'val', seed).persons for seed in range(count))
    boxes = [tuple(corners(person.bbox) for person in people) for people in drawn]
    samples = tuple(Sample(found, seed=seed) for seed, found in enumerate(boxes))
    return Samples(samples, 'drawn toy people')


def config_samples(config: Mapping[str, Any]) -> Samples | None:
    """Validation data of a config; None if they are not here or of another kind."""
    dataset = (config.get('val_dataloader') or {}).get('dataset') or {}
    root = Path(dataset.get('data_root') or '')
    path = root / (dataset.get('ann_file') or '')
    content = read_json(path) if path.is_file() and path.suffix == '.json' else None
    if not isinstance(content, Mapping):
        return None
    folder = root / (dataset.get('data_prefix') or {}).get('img', '')
    return _with_keypoints(content, path, folder)


def find_samples(paths: Sequence[FilePath], config: Mapping[str, Any]) -> Samples:
    """The named samples, else the config's validation data, else drawn people.

    ``paths`` are a folder of images, or a COCO json and the folder of its images.

    Raises:
        OSError: If what was named is missing, or some of the validation data.
        ValueError: If there are no people in it, or it is damaged.
    """
    if len(paths) > 2:
        raise ValueError('images are a folder, or a json and a folder')
    if paths:
        return (folder_samples if len(paths) == 1 else coco_samples)(*paths)
    return config_samples(config) or toy_samples()
