"""Boxes of people: given by hand, by COCO files, or all of an image."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PERSON = 1  # COCO's category


def as_boxes(values: Any, where: str = 'boxes') -> np.ndarray:
    """Boxes with scores.

    Args:
        values: Rows of left, top, right, bottom in px and, if wanted, a score.
        where: What a message calls them.

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
        path: Of the file.
        boxes: Image name, or number as text, to boxes ``(N, 5)``.
        image_ids: Image name to its number in COCO annotations.
        complete: Whether an image that is not in the file has no people (results of a
            detector leave such images out) or is an error.
    """

    path: str
    boxes: Mapping[str, np.ndarray]
    image_ids: Mapping[str, int]
    complete: bool = False

    def of(self, keys: Iterable[str]) -> np.ndarray:
        """Boxes of an image, which may stand under any of some keys.

        Raises:
            ValueError: If the file does not know the image.
        """
        for key in keys:
            if key in self.boxes:
                return self.boxes[key]
        if not self.complete:
            raise ValueError(f'{self.path} holds no boxes of it')
        return np.zeros((0, 5), np.float32)


def read_boxes(path: str | os.PathLike[str], threshold: float = 0.3) -> BoxFile:
    """Boxes from a json file of one of three kinds.

    Args:
        path: Of a dict of image name to rows ``[x1, y1, x2, y2]`` (and a score), of
            COCO annotations, or of COCO detections. Only persons are taken of the last
            two, and of annotations none that stand for a crowd.
        threshold: Boxes with a lower score are left out.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is of no such kind.
    """
    path = os.fspath(path)
    try:
        data = json.loads(Path(path).read_text(encoding='utf-8'))
        if isinstance(data, dict) and {'images', 'annotations'} <= set(data):
            found = _annotated(path, data)
        elif isinstance(data, dict):
            boxes = {k: as_boxes(v, f'boxes of {k} in {path}') for k, v in data.items()}
            found = BoxFile(path, boxes, {})
        elif isinstance(data, list):
            people = [row for row in data if row.get('category_id') == PERSON]
            rows = ((str(row['image_id']), row) for row in people)
            found = BoxFile(path, _grouped(path, rows), {}, complete=True)
        else:
            raise ValueError('it holds neither a dict nor a list')
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(
            f'{path} must be json of image name to [[x1, y1, x2, y2], …], COCO '
            f'annotations or COCO detections; {type(error).__name__}: {error}'
        ) from None
    kept = {name: rows[rows[:, 4] >= threshold] for name, rows in found.boxes.items()}
    return BoxFile(path, kept, found.image_ids, found.complete)


def _annotated(path: str, data: Mapping[str, Any]) -> BoxFile:
    """Boxes of COCO annotations."""
    names = {row['id']: Path(row['file_name']).name for row in data['images']}
    rows = (
        (names[row['image_id']], row)
        for row in data['annotations']
        if row.get('category_id', PERSON) == PERSON and not row.get('iscrowd')
    )
    nobody = {name: as_boxes([]) for name in names.values()}
    ids = {name: number for number, name in names.items()}
    return BoxFile(path, {**nobody, **_grouped(path, rows)}, ids)


def _grouped(
    path: str, rows: Iterable[tuple[str, Mapping[str, Any]]]
) -> dict[str, np.ndarray]:
    """COCO's left, top, width, height by image, as corners."""
    boxes: dict[str, list[list[float]]] = {}
    for name, row in rows:
        x, y, width, height = row['bbox']
        # COCO holds a few empty ones, which MMPose's data sets leave out too.
        if width > 0 and height > 0:
            box = [x, y, x + width, y + height, row.get('score', 1.0)]
            boxes.setdefault(name, []).append(box)
    return {k: as_boxes(v, f'boxes of {k} in {path}') for k, v in boxes.items()}
