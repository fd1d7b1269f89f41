"""COCO keypoint files checked before anything is learnt from them.

MMPose cuts boxes to the image and leaves out, silently, whoever has an empty box or no
keypoints. Everything else it takes as it is, not-a-numbers and wrong categories too.

Three grades:

- ``fatal``: MMPose cannot load the annotations, or reads others than were meant.
- ``error``: this image or person must not be learnt from.
- ``warning``: unusual; training copes.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .coco import AREA_OF_BOX, read_json
from .conventions import Person, convention_faults
from .keypoints import pair_problem

GRADES = ('fatal', 'error', 'warning')
Fault = tuple[str, str]
"""One of :data:`GRADES`, and a sentence."""

_VISIBILITIES = (0, 1, 2)  # COCO's: not labelled, labelled but hidden, visible
_NEEDED = ('area', 'bbox', 'keypoints', 'iscrowd')
"""What COCO's evaluation reads of every annotation; the last may be missing, not null."""
_HUGE = 10**18  # whole numbers from here on are no places and no ids
_MOST_OUTSIDE = 0.5  # part of a box outside of its image that is still usual


@dataclass(frozen=True)
class Finding:
    """Something wrong or odd.

    Attributes:
        kind: What ``id`` is of: ``'annotations'``, ``'image'`` or ``'person'``.
        file: The image's name in the annotations, or path of the annotations.
        id: Of the image or the annotation; None of the file as a whole.
    """

    grade: str
    kind: str
    file: str
    id: Any
    what: str

    def __str__(self) -> str:
        noun = {'person': 'annotation'}.get(self.kind, self.kind)
        name = '' if self.id is None else f' ({noun} {self.id})'
        return f'{self.file}{name}: {self.what}'


@dataclass
class Annotations:
    """A COCO file that was read and checked.

    Attributes:
        images: Image id to its record, of images whose record is sound.
        counts: ``'images'``, ``'persons'`` and, of them, ``'unlabelled'``: without
            visible keypoints, which MMPose leaves out and COCO has many of; and
            ``'used'``: with nothing wrong, whom MMPose trains on.
    """

    path: str
    images: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, file: str, number: Any, faults: Iterable[Fault]) -> None:
        """Note faults of one thing."""
        self.findings += [Finding(f[0], kind, file, number, f[1]) for f in faults]

    def __str__(self) -> str:
        return (
            f'{self.counts["images"]} images, {self.counts["persons"]} people, '
            f'{self.counts["unlabelled"]} of them without visible keypoints'
        )


def check_annotations(path: str | os.PathLike[str], count: int = 0) -> Annotations:
    """Read and check a COCO keypoint file; OSError if it cannot be read.

    Every person must have ``count`` keypoints; 0 is what the file's categories say.
    """
    found = Annotations(os.fspath(path))
    try:
        content = read_json(path)
    except ValueError as error:
        what = str(error).removeprefix(f'{found.path}: ')
        found.add('annotations', found.path, None, [('fatal', what)])
        return found
    faults = list(table_faults(content))
    found.add('annotations', found.path, None, faults)
    if not any(grade == 'fatal' for grade, _ in faults):
        _check_images(found, content['images'])
        _check_persons(found, content, count)
    return found


def fill_annotations(content: Any) -> tuple[Any, Counter[str]]:
    """Annotations with what evaluation needs and what follows from the rest.

    Filled in are ``keypoints`` (none labelled), ``num_keypoints``, ``iscrowd`` (0) and
    ``area`` (0.53 of the box, as MMPose estimates it) where they are missing or null. A
    box follows from nothing.

    Raises:
        ValueError: If it is no COCO file with categories.
    """
    if faults := [what for grade, what in table_faults(content) if grade != 'warning']:
        raise ValueError('; '.join(faults))
    if not all(isinstance(record, Mapping) for record in content['annotations']):
        raise ValueError('its annotations must be objects')
    counts = [len(c.get('keypoints') or ()) for c in content['categories']]
    most = max(counts, default=0)
    filled: Counter[str] = Counter()
    records = []
    for given in content['annotations']:
        record = dict(given)
        points = record.get('keypoints') or [0, 0, 0] * most
        box: Any = record.get('bbox')
        sound = _are_numbers(box) and len(box) == 4
        derived = dict(
            keypoints=points,
            num_keypoints=sum(flag > 0 for flag in points[2::3]),
            iscrowd=0,
            area=AREA_OF_BOX * box[2] * box[3] if sound else None,
        )
        for name, value in derived.items():
            if record.get(name) is None and value is not None:
                record[name] = value
                filled[name] += 1
        records.append(record)
    return {**content, 'annotations': records}, filled


def image_list(
    found: Annotations, only: Collection[int] | None = None
) -> list[tuple[int, str, tuple[float, float]]]:
    """Images of annotations as :func:`.check_images` takes them; ``only`` these ids."""
    return [
        (number, record['file_name'], (record['width'], record['height']))
        for number, record in found.images.items()
        if only is None or number in only
    ]


def _check_images(found: Annotations, records: Sequence[Any]) -> None:
    found.counts['images'] = len(records)
    names: dict[str, Any] = {}
    for place, record in enumerate(records):
        faults = list(image_record_faults(record))
        if faults:
            number = record.get('id') if isinstance(record, Mapping) else f'#{place}'
            found.add('image', found.path, number, faults)
            continue
        number, name = record['id'], record['file_name']
        if number in found.images:
            other = found.images[number]['file_name']
            what = f'its id is also that of {other}: people would get the wrong image'
            found.add('image', name, number, [('fatal', what)])
        if name in names:
            what = f'it is listed twice, as images {names[name]} and {number}'
            found.add('image', name, number, [('warning', what)])
        names[name] = number
        found.images[number] = record


def _check_persons(found: Annotations, content: Mapping[str, Any], count: int) -> None:
    found.counts['persons'] = len(content['annotations'])
    categories = {
        entry['id']: len(entry.get('keypoints') or ())
        for entry in content.get('categories') or ()
    }
    seen: dict[Any, Any] = {}
    used: list[Person] = []
    needs: dict[str, list[Any]] = {}
    for place, record in enumerate(content['annotations']):
        if not isinstance(record, Mapping) or not isinstance(record.get('id'), int):
            what = 'it must be an object with a whole number as id'
            found.add('person', found.path, f'#{place}', [('fatal', what)])
            continue
        number, owner = record['id'], record.get('image_id')
        image = found.images.get(owner) if isinstance(owner, int) else None
        name = found.path if image is None else str(image['file_name'])
        if number in seen:
            what = (
                f'its id is used twice, of images {seen[number]} and {owner}: '
                'MMPose would take the last for both'
            )
            found.add('person', name, number, [('fatal', what)])
        seen[number] = owner
        for entry in _NEEDED:
            if record.get(entry) is None and (entry != 'iscrowd' or entry in record):
                needs.setdefault(entry, []).append(number)
        size = None if image is None else (image['width'], image['height'])
        faults = list(person_faults(record, size, categories or None, count))
        found.add('person', name, number, faults)
        if all(grade == 'warning' for grade, _ in faults):
            points = record.get('keypoints') or []
            found.counts['unlabelled'] += not any(flag > 0 for flag in points[2::3])
            if size is not None and record.get('bbox') and is_used(record, points):
                found.counts['used'] += 1
                used.append((record, size))
    if not found.counts['used']:
        what = 'nobody in it can be trained on'
        found.add('annotations', found.path, None, [('fatal', what)])
    found.add('annotations', found.path, None, convention_faults(used))
    for entry, ids in needs.items():
        what = (
            f'{len(ids)} annotations have no {entry}, such as {ids[0]}; evaluation reads '
            'it of every annotation, of other categories too (`mmpose-lite check-data '
            '--mend OUT` fills in what follows from the rest)'
        )
        found.add('annotations', found.path, None, [('error', what)])


def table_faults(content: Any) -> Iterator[Fault]:
    """What is wrong with the content of a whole file."""
    if not isinstance(content, Mapping):
        yield 'fatal', f'it must hold an object, not a {type(content).__name__}'
        return
    for name in ('images', 'annotations'):
        if not isinstance(content.get(name), list):
            yield 'fatal', f'it has no list of {name}'
        elif not content[name]:
            yield 'fatal', f'its list of {name} is empty'
    categories = content.get('categories')
    if categories is None:
        yield 'error', 'it has no categories, which evaluation reads'
    elif not isinstance(categories, list) or not all(
        isinstance(entry, Mapping) and isinstance(entry.get('id'), int)
        for entry in categories
    ):
        yield 'fatal', 'its categories must be a list of objects with an id'
    elif not any(entry.get('keypoints') for entry in categories):
        yield 'warning', 'no category names its keypoints'
    else:
        for entry in categories:
            names = entry.get('keypoints') or ()
            named = all(isinstance(name, str) for name in names)
            if named and (problem := pair_problem(names)):
                yield 'warning', problem


def image_record_faults(record: Any) -> Iterator[Fault]:
    """What keeps MMPose from using an image's record."""
    if not isinstance(record, Mapping):
        yield 'fatal', f'it must be an object, not {record!r}'
        return
    if not _is_whole(record.get('id')):
        yield 'fatal', f'its id must be a whole number, not {record.get("id")!r}'
    if not isinstance(record.get('file_name'), str) or not record['file_name']:
        yield 'fatal', f'its file_name must be a text, not {record.get("file_name")!r}'
    for name in ('width', 'height'):
        value: Any = record.get(name)
        if not _is_number(value) or not math.isfinite(value) or value <= 0:
            yield 'fatal', f'its {name} must be a number above 0, not {value!r}'


def person_faults(
    record: Mapping[str, Any],
    size: tuple[float, float] | None,
    categories: Mapping[Any, int] | None,
    count: int = 0,
) -> Iterator[Fault]:
    """What is wrong with a person.

    Args:
        size: ``(width, height)`` of the image, px; None if the file lacks the image.
        categories: Category id to its number of keypoints; None if there are none.
        count: Keypoints that the person must have; 0 is what the category says.
    """
    if size is None:
        yield 'error', f'image {record.get("image_id")!r} is not in the file'
        return
    box, points = record.get('bbox'), record.get('keypoints')
    if points is None:  # boxes without keypoints are left out by MMPose
        return
    broken = list(_shape_faults(record, box, points))
    if broken or box is None:
        yield from broken
        return
    # What MMPose leaves out anyway cannot do harm.
    used = is_used(record, points)
    lost = list(_box_faults(box, size))
    for what in (
        *_category_faults(record['category_id'], categories, len(points) // 3, count),
        *lost,
        *_point_faults(points, size),
    ):
        yield 'error' if used else 'warning', what
    flags = points[2::3]
    counted, told = sum(flag > 0 for flag in flags), record.get('num_keypoints')
    if used and not counted:
        claim = '' if told is None else f', though num_keypoints is {told}'
        yield 'error', f'none of its keypoints is visible{claim}'
    if told == 0 and counted:
        yield 'warning', f'num_keypoints is 0, so {counted} visible ones are not used'
    if any(flag not in _VISIBILITIES for flag in flags if flag >= 0):
        yield 'warning', 'visibilities other than 0, 1 and 2 count as themselves or 1'
    if not math.isfinite(record.get('area') or 0):
        yield 'error', f'its area is {record["area"]}'
    left = 1 - _MOST_OUTSIDE
    if not lost and math.prod(_kept(box, size)) < left * box[2] * box[3]:
        yield 'warning', f'its box {box} lies mostly outside of the image'


def is_used(record: Mapping[str, Any], points: Sequence[float]) -> bool:
    """Whether MMPose trains on a person whose box is sound."""
    places = [max(x, y) for x, y in zip(points[::3], points[1::3], strict=True)]
    # MMPose counts places that are not the corner of the image. Comparisons with
    # not-a-number are False: such points are taken.
    told = record.get('num_keypoints', sum(place != 0 for place in places))
    nowhere = not places or max(places) <= 0
    return not record.get('iscrowd') and told != 0 and not nowhere


def _shape_faults(record: Mapping[str, Any], box: Any, points: Any) -> Iterator[Fault]:
    """What MMPose fails on while it loads the file."""
    if box is None:
        yield 'error', 'it has keypoints but no bbox'
    elif not _are_numbers(box) or len(box) != 4:
        yield 'fatal', f'its bbox must be 4 numbers, not {_short(box)}'
    if not _are_numbers(points) or len(points) % 3:
        yield 'fatal', f'its keypoints must be x, y, v of each, not {_short(points)}'
    if not _is_whole(record.get('category_id')):
        what = record.get('category_id')
        yield 'fatal', f'its category_id must be a whole number, not {what!r}'
    for name in ('area', 'num_keypoints'):
        if name in record and not _is_number(record[name]):
            yield 'fatal', f'its {name} must be a number, not {record[name]!r}'


def _category_faults(
    category: Any, categories: Mapping[Any, int] | None, given: int, count: int
) -> Iterator[str]:
    """Whether somebody else, or something else, is meant."""
    own = None if categories is None else categories.get(category)
    if categories is not None and own is None:
        yield f'its category {category} is none of {sorted(categories)}'
    elif categories is not None and own == 0 and any(categories.values()):
        yield f'its category {category} has no keypoints'
    wanted = count or own or 0
    if wanted and given != wanted:
        yield f'it has {given} keypoints instead of {wanted}'


def _box_faults(box: list[float], size: tuple[float, float]) -> Iterator[str]:
    """Whether anything is left of a box once MMPose has cut it to the image."""
    if not all(map(math.isfinite, box)):
        yield f'its box {box} is not finite'
    elif min(box[2:]) <= 0:
        what = 'inverted' if min(box[2:]) < 0 else 'empty'
        yield f'its box {box} (x, y, width, height) is {what}'
    # MMPose counts to the middle of the last pixel.
    elif min(_kept(box, (size[0] - 1, size[1] - 1))) <= 0:
        yield (
            f'its box {box} (x, y, width, height) lies outside of the image of '
            f'{size[0]} x {size[1]} px'
        )


def _kept(box: list[float], size: tuple[float, float]) -> list[float]:
    """Width and height of a box that is cut to an image, 0 where nothing is left."""
    return [
        min(max(low + side, 0), end) - min(max(low, 0), end)
        for low, side, end in zip(box[:2], box[2:], size, strict=True)
    ]


def _point_faults(points: list[float], size: tuple[float, float]) -> Iterator[str]:
    """Keypoints that are nowhere."""
    far = []
    for index in range(len(points) // 3):
        x, y, flag = points[3 * index : 3 * index + 3]
        if not all(map(math.isfinite, (x, y, flag))):
            yield f'its keypoint {index} is not finite: {[x, y, flag]}'
            return
        if flag < 0:
            yield f'its keypoint {index} has visibility {flag}; it must be 0, 1 or 2'
            return
        if flag > 0 and max(-x, x - size[0], -y, y - size[1]) > max(size):
            far.append(index)
    if far:
        place = points[3 * far[0] : 3 * far[0] + 2]
        yield (
            f'its visible keypoints {far} are farther outside than the image is '
            f'large ({far[0]} at {place})'
        )


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < _HUGE
    return isinstance(value, float)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and _is_number(value)


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(map(_is_number, values))


def _short(values: Sequence[Any]) -> str:
    text = repr(values)
    return text if len(text) < 60 else f'{text[:57]}…'
