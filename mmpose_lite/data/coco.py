"""The one reader of COCO annotations: images with the people in them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PERSON = 1
"""COCO's category of people."""

AREA_OF_BOX = 0.53
"""Part of a box that its person covers, where no area is annotated; as in MMPose."""

Box = tuple[float, float, float, float]


def corners(box: Sequence[float]) -> Box:
    """COCO's left, top, width, height as left, top, right, bottom; px.

    ValueError if the box is not 4 finite numbers.
    """
    try:
        values = np.asarray(box, np.float64)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.shape != (4,) or not np.isfinite(values).all():
        raise ValueError(f'bbox must be 4 finite numbers, got {box!r}')
    x, y, width, height = values.tolist()
    return x, y, x + width, y + height


@dataclass(frozen=True)
class CocoPerson:
    """An annotated person.

    Attributes:
        record: As it stands in the file.
        box: Left, top, right, bottom, px.
        keypoints: ``(K, 3)``: x, y in px and visibility; K is 0 without any.
    """

    record: Mapping[str, Any]
    box: Box
    keypoints: NDArray[np.float64]

    @property
    def labelled(self) -> bool:
        """Whether any keypoint is labelled."""
        return bool((self.keypoints[:, 2] > 0).any())

    @property
    def area(self) -> float:
        """Annotated area, or MMPose's estimate from the box, px²."""
        left, top, right, bottom = self.box
        rough = AREA_OF_BOX * (right - left) * (bottom - top)
        return float(self.record.get('area', rough))


@dataclass(frozen=True)
class CocoImage:
    """An image of a COCO file.

    Attributes:
        name: ``file_name``, relative to the folder of images.
        crowds: Records of crowds, which evaluations pass over.
    """

    id: int
    name: str
    people: tuple[CocoPerson, ...]
    crowds: tuple[Mapping[str, Any], ...] = ()


def read_json(path: str | os.PathLike[str]) -> Any:
    """Content of a json file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is cut off, damaged or no json (the message names it).
    """
    try:
        return json.loads(Path(path).read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:  # also text that is no UTF-8
        what = f'it is no json, cut off or damaged ({error})'
        raise ValueError(f'{os.fspath(path)}: {what}') from None


def read_coco(
    path: str | os.PathLike[str], category: str | None = None
) -> list[CocoImage]:
    """Images of a COCO file with the people that MMPose would take.

    Crowds, empty boxes, and everything that is not a person are left out, see
    :func:`person_categories`.

    Args:
        category: Name or id of the people's category, if it is not to be found out.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is no such file, it does not tell which category people are,
            or a person's box or keypoints are none (the message names the file and the
            annotation).
    """
    return images_of(read_json(path), os.fspath(path), category)


def images_of(content: Any, path: str, category: str | None = None) -> list[CocoImage]:
    """As :func:`read_coco`, of a json's content that messages call ``path``."""
    if not isinstance(content, Mapping) or not {'images', 'annotations'} <= set(
        content
    ):
        raise ValueError(f'{path} is no COCO json with images and annotations')
    people: dict[Any, list[CocoPerson]] = {}
    try:
        records = {record['id']: record['file_name'] for record in content['images']}
        for number, person in _people(content, category):
            people.setdefault(number, []).append(person)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f'{path} lacks {error} in an image or annotation') from None
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from None
    if unknown := set(people) - set(records):
        raise ValueError(f'{path} has people of images that it lacks: {unknown}')
    crowds: dict[Any, list[Mapping[str, Any]]] = {}
    for record in content['annotations']:
        if record.get('iscrowd'):
            crowds.setdefault(record['image_id'], []).append(record)
    return [
        CocoImage(
            number, name, tuple(people.get(number, ())), tuple(crowds.get(number, ()))
        )
        for number, name in records.items()
    ]


def _people(
    content: Mapping[str, Any], category: str | None
) -> Iterator[tuple[Any, CocoPerson]]:
    """Image id and person of every annotation that is taken."""
    records = content['annotations']
    wanted = person_categories(content.get('categories') or (), records, category)
    for record in records:
        if record.get('iscrowd') or record.get('category_id') not in wanted:
            continue
        try:
            box = corners(record.get('bbox'))
            points = np.asarray(record.get('keypoints') or (), np.float64)
            points = points.reshape(-1, 3)
        except (TypeError, ValueError) as error:
            raise ValueError(f'annotation {record.get("id")}: {error}') from None
        if box[2] > box[0] and box[3] > box[1]:
            yield record['image_id'], CocoPerson(record, box, points)


def person_categories(
    categories: Iterable[Mapping[str, Any]],
    records: Iterable[Mapping[str, Any]],
    wanted: str | None = None,
) -> set[Any]:
    """Ids of the categories of people, as they stand in annotations or detections.

    People are of the categories with keypoints, else of the one called *person*, else
    of the only one. Where records have no category at all they are all people.

    Args:
        categories: Of the file; detections have none.
        wanted: Name or id of the category, if it is not to be found out.

    Raises:
        ValueError: If none of this decides (the message lists the categories).
    """
    names = {c.get('id'): str(c.get('name', '')) for c in categories}
    used = dict.fromkeys(record.get('category_id') for record in records)
    known = {**dict.fromkeys(used, ''), **names}
    if wanted is not None:
        found = {i for i, name in known.items() if wanted in (name, str(i))}
    else:
        found = (
            {c['id'] for c in categories if c.get('keypoints')}
            or {i for i, name in names.items() if name.lower() == 'person'}
            or (set(names) if len(names) == 1 else set())
            or (set(used) if len(used) == 1 and not names else set())
        )
    if not found and known:
        listed = [f'{i} {name!r}' if name else f'{i}' for i, name in known.items()]
        raise ValueError(
            f'category must be that of the people, one of {", ".join(listed)}; '
            f'got {wanted or "none"}'
        )
    # Without a category of its own a record is of the one that there is.
    return found | {None} if len(found) == 1 else found
