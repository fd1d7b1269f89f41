"""Boxes of people: from a file, a detector, or around the whole image."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..data.coco import PERSON, corners, images_of, person_categories, read_json
from .sources import Frame, Source


def as_boxes(values: Any, where: str = 'boxes') -> np.ndarray:
    """Boxes with scores.

    Args:
        values: Rows of left, top, right, bottom in px and, if wanted, a score.

    Returns:
        ``(N, 5)``; scores that are not given are 1.

    Raises:
        ValueError: If they are no such rows, or a box is empty.
    """
    try:
        rows = [[*row, 1.0] if len(row) == 4 else [*row] for row in values]
        boxes = np.array(rows, np.float32) if rows else np.zeros((0, 5), np.float32)
    except (TypeError, ValueError):
        boxes = np.zeros(0, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 5 or not np.isfinite(boxes).all():
        raise ValueError(
            f'{where} must be rows of [x1, y1, x2, y2] or [x1, y1, x2, y2, score], '
            f'got {str(values)[:80]}'
        )
    empty = (boxes[:, 2:4] <= boxes[:, :2]).any(axis=1)
    if empty.any():
        raise ValueError(
            f'{where} must have x1 < x2 and y1 < y2, got {boxes[empty][0].tolist()}'
        )
    return boxes


def whole_image(image: np.ndarray) -> np.ndarray:
    """One box ``(1, 5)`` around all of an image ``(H, W, 3)``."""
    height, width = image.shape[:2]
    return np.array([[0, 0, width, height, 1]], np.float32)


@dataclass(frozen=True)
class BoxFile:
    """Boxes of images, read from a file.

    Attributes:
        boxes: Image name with its folders, or number as text, to boxes ``(N, 5)``.
        image_ids: Image name to its number in COCO annotations.
        category: Of the people in COCO annotations or detections.
        complete: Whether an image that is not in the file has no people (results of a
            detector leave such images out) or is an error.
    """

    path: str
    boxes: Mapping[str, np.ndarray]
    image_ids: Mapping[str, int]
    category: Any = PERSON
    complete: bool = False

    def of(self, frame: Frame) -> tuple[np.ndarray, int | None]:
        """Boxes ``(N, 5)`` of an image, and its number in COCO annotations.

        ValueError if the image is not in the file, or several could be meant.
        """
        name = self._find(frame)
        if name is not None:
            return self.boxes[name], self.image_ids.get(name)
        if not self.complete:
            raise ValueError(f'{self.path} holds no boxes of it')
        return as_boxes([]), None

    def check(self, source: Source) -> None:
        """Raise ValueError if a detector's results are of other images altogether."""
        frames = list(source.frames())
        if self.complete and self.boxes and not any(map(self._find, frames)) and frames:
            raise ValueError(
                f'{self.path}: none of its {len(self.boxes)} image ids '
                f'({_some(self.boxes)}) belongs to an image of {source.name} '
                f'({_some(frame.keys[-1] for frame in frames)})'
            )

    def _find(self, frame: Frame) -> str | None:
        """The name under which an image stands in the file."""
        path, *others = frame.keys
        # Of names that end alike it is the one that agrees furthest with the path.
        near = {n: _agreement(n, path) for n in self._named.get(_parts(path)[0], ())}
        best = [name for name in near if near[name] == max(near.values())]
        if len(best) > 1:
            raise ValueError(f'{self.path}: {path} may be {" or ".join(best)}')
        return next((key for key in (*best, *others) if key in self.boxes), None)

    @cached_property
    def _named(self) -> dict[str, list[str]]:
        """File name to the names with folders that end in it."""
        names: dict[str, list[str]] = {}
        for name in self.boxes:
            names.setdefault(_parts(name)[0], []).append(name)
        return names


def _parts(path: str) -> list[str]:
    """File name and folders of a path, from the last to the first."""
    return path.replace('\\', '/').split('/')[::-1]


def _agreement(first: str, second: str) -> int:
    """How many parts two paths share, counted from their ends."""
    pairs = zip(_parts(first), _parts(second), strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _some(names: Iterable[str]) -> str:
    shown = [*itertools.islice(names, 4)]
    return ', '.join(shown[:3]) + ', …' * (len(shown) > 3)


def read_boxes(
    path: str | os.PathLike[str], threshold: float = 0.3, category: str | None = None
) -> BoxFile:
    """Boxes from a json file of one of three kinds.

    Args:
        path: Of a dict of image name to rows ``[x1, y1, x2, y2]`` (and a score), of
            COCO annotations, or of COCO detections. Only persons are taken of the last
            two, and of annotations none that stand for a crowd.
        threshold: Boxes with a lower score are left out.
        category: Name or id of the people's category; found out if not given, see
            :func:`mmpose_lite.data.coco.person_categories`.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is of no such kind, an image stands in it twice, or it does
            not tell which category people are.
    """
    path, data = os.fspath(path), read_json(path)
    rows: Mapping[str, Any]
    ids: dict[str, int] = {}
    people: Any = PERSON
    if isinstance(data, dict) and {'images', 'annotations'} <= set(data):
        images = images_of(data, path, category)
        rows = {image.name: [p.box for p in image.people] for image in images}
        for image in images:
            if image.name in ids:
                numbers = f'{ids[image.name]} and {image.id}'
                raise ValueError(f'{path}: {numbers} are both {image.name}')
            ids[image.name] = image.id
        given = (person.record for image in images for person in image.people)
        people = next(given, {}).get('category_id', PERSON)
    elif isinstance(data, dict):
        rows = data
    elif isinstance(data, list):
        people, rows = _detected(path, data, category)
    else:
        raise ValueError(
            f'{path} must hold image name to [[x1, y1, x2, y2], …], COCO annotations '
            f'or COCO detections, got a {type(data).__name__}'
        )
    kept = {}
    for name, values in rows.items():
        found = as_boxes(values, f'boxes of {name} in {path}')
        kept[name] = found[found[:, 4] >= threshold]
    return BoxFile(path, kept, ids, people, complete=isinstance(data, list))


def _detected(
    path: str, found: Sequence[Mapping[str, Any]], category: str | None
) -> tuple[Any, dict[str, list[Sequence[float]]]]:
    """The people's category, and boxes and scores by number of the image."""
    rows: dict[str, list[Sequence[float]]] = {}
    try:
        wanted = person_categories((), found, category)
        for row in found:
            if row.get('category_id') in wanted:
                box = corners(row['bbox'])
                # A few are empty, which MMPose's data sets leave out, too.
                if box[0] < box[2] and box[1] < box[3]:
                    scored = (*box, row.get('score', 1.0))
                    rows.setdefault(str(row['image_id']), []).append(scored)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path} is a list of no COCO detections ({type(error).__name__}: {error})'
        ) from None
    return next((i for i in wanted if i is not None), PERSON), rows


class Detector:
    """A detector of mmdet that gives boxes of people.

    Args:
        model: Path of a config, or a name that mmdet knows (such as ``'rtmdet_tiny'``).
        weights: Checkpoint. A name that mmdet knows brings an address of its own,
            a config does not.
        device: ``'cpu'``, ``'cuda:0'``, …; a GPU if there is one, if not given.
        categories: Numbers of the classes that are people; 0 in detectors of COCO.

    Raises:
        ValueError: If a config comes without weights, or the name is unknown to mmdet.
    """

    def __init__(
        self,
        model: str,
        weights: str | None = None,
        device: str | None = None,
        categories: int | Sequence[int] = 0,
    ) -> None:
        from mmdet.apis import DetInferencer  # takes a second, and few need it
        from mmengine.config import Config

        scope = 'mmdet'
        if os.path.exists(model):
            if weights is None:
                raise ValueError(f'the detector {model} needs weights: its checkpoint')
            scope = Config.fromfile(model).get('default_scope', scope)
        self.categories = np.atleast_1d(categories)
        self._detect = DetInferencer(
            model, weights, device, scope=scope, show_progress=False
        )

    def __call__(
        self, image: np.ndarray, threshold: float = 0.3, overlap: float = 0.3
    ) -> np.ndarray:
        """People of an image ``(H, W, 3)`` ``uint8`` BGR.

        Args:
            overlap: Intersection over union above which the box with the lower score
                is dropped.

        Returns:
            ``(N, 5)``: left, top, right, bottom in px, and score.
        """
        from mmpose.evaluation.functional import nms

        (found,) = self._detect(image, return_datasamples=True)['predictions']
        people = found.pred_instances.cpu().numpy()
        boxes = np.concatenate([people.bboxes, people.scores[:, None]], axis=1)
        chosen = np.isin(people.labels, self.categories) & (people.scores > threshold)
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        boxes = boxes[chosen & (width > 0) & (height > 0)]
        return as_boxes(boxes[nms(boxes, overlap)]) if len(boxes) else as_boxes([])
