"""Single records of COCO key-point files, and what MMPose makes of bad ones.

MMPose cuts boxes to the image and leaves out, silently, whoever has an empty box or no
key points. Everything else it takes as it is, not-a-numbers and wrong categories too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Fault = tuple[str, str]
"""``'fatal'``, ``'error'`` or ``'warning'``, and a sentence."""

LABELLED, VISIBLE = 1, 2  # COCO's flags of key points; 0 is not labelled
_HUGE = 10**18  # whole numbers from here on are no places and no ids
_MOST_OUTSIDE = 0.5  # part of a box outside of its image that is still usual


def table_faults(content: Any) -> Iterator[Fault]:
    """What is wrong with a whole file.

    Args:
        content: What the json holds.
    """
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
        yield 'warning', 'it has no categories: whose boxes these are is not checked'
    elif not isinstance(categories, list) or not all(
        isinstance(entry, Mapping) and isinstance(entry.get('id'), int)
        for entry in categories
    ):
        yield 'fatal', 'its categories must be a list of objects with an id'
    elif not any(entry.get('keypoints') for entry in categories):
        yield 'warning', 'no category names its key points'


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
        record: The annotation.
        size: ``(width, height)`` of the image, px; None if the file lacks the image.
        categories: Category id to its number of key points; None if there are none.
        count: Key points that the person must have; 0 is what the category says.
    """
    if size is None:
        yield 'error', f'image {record.get("image_id")!r} is not in the file'
        return
    box, points = record.get('bbox'), record.get('keypoints')
    if points is None:  # boxes without key points are left out by MMPose
        return
    broken = list(_shape_faults(record, box, points))
    if broken or not isinstance(box, list) or not isinstance(points, list):
        yield from broken
        return
    # What MMPose leaves out anyway cannot do harm.
    grade = 'error' if is_used(record, points) else 'warning'
    for what in _category_faults(record['category_id'], categories, points, count):
        yield grade, what
    boxes = list(_box_faults(box, size))
    for what in boxes:
        yield grade, what
    for what in _point_faults(points, size):
        yield grade, what
    for what in _count_faults(record, points):
        yield grade, what
    yield from _number_faults(record, points[2::3])
    if not boxes and _is_mostly_outside(box, size):
        yield 'warning', f'its box {box} lies mostly outside of the image'


def _shape_faults(record: Mapping[str, Any], box: Any, points: Any) -> Iterator[Fault]:
    """What MMPose fails on while it loads the file."""
    if box is None:
        yield 'error', 'it has key points but no bbox'
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
    category: Any, categories: Mapping[Any, int] | None, points: list[Any], count: int
) -> Iterator[str]:
    """Whether somebody else, or something else, is meant."""
    own = None if categories is None else categories.get(category)
    if categories is not None and own is None:
        yield f'its category {category} is none of {sorted(categories)}'
    elif categories is not None and own == 0 and any(categories.values()):
        yield f'its category {category} has no key points'
    wanted = count or own or 0
    if wanted and len(points) != 3 * wanted:
        yield f'it has {len(points) // 3} key points instead of {wanted}'


def _box_faults(box: list[float], size: tuple[float, float]) -> Iterator[str]:
    """Whether anything is left of a box once MMPose has cut it to the image."""
    x, y, width, height = box
    if not all(map(math.isfinite, box)):
        yield f'its box {box} is not finite'
    elif width <= 0 or height <= 0:
        what = 'inverted' if min(width, height) < 0 else 'empty'
        yield f'its box {box} (x, y, width, height) is {what}'
    else:
        sides = zip((x, y), (width, height), size, strict=True)
        # MMPose counts to the middle of the last pixel.
        kept = [
            min(max(low + long, 0), end - 1) - min(max(low, 0), end - 1)
            for low, long, end in sides
        ]
        if min(kept) <= 0:
            yield (
                f'its box {box} (x, y, width, height) lies outside of the image of '
                f'{size[0]} x {size[1]} px'
            )


def _is_mostly_outside(box: list[float], size: tuple[float, float]) -> bool:
    x, y, width, height = box
    wide = min(x + width, size[0]) - max(x, 0)
    tall = min(y + height, size[1]) - max(y, 0)
    return wide * tall < (1 - _MOST_OUTSIDE) * width * height


def _point_faults(points: list[float], size: tuple[float, float]) -> Iterator[str]:
    """Key points that are nowhere."""
    far = []
    for index in range(len(points) // 3):
        x, y, flag = points[3 * index : 3 * index + 3]
        if not all(map(math.isfinite, (x, y, flag))):
            yield f'its key point {index} is not finite: {[x, y, flag]}'
            return
        if flag < 0:
            yield f'its key point {index} has visibility {flag}; it must be 0, 1 or 2'
            return
        away = max(-x, x - size[0], -y, y - size[1])
        if flag > 0 and away > max(size):
            far.append(index)
    if far:
        place = points[3 * far[0] : 3 * far[0] + 2]
        yield (
            f'its visible key points {far} are farther outside than the image is '
            f'large ({far[0]} at {place})'
        )


def is_used(record: Mapping[str, Any], points: list[float]) -> bool:
    """Whether MMPose trains on a person whose box is sound.

    Args:
        record: The annotation.
        points: Its key points, three numbers each.
    """
    told = record.get('num_keypoints')
    if told is None:  # it counts places that are not the corner of the image
        told = sum(max(place) != 0 for place in _places(points))
    # Comparisons with not-a-number are False: such points are taken.
    nowhere = not points or max(map(max, _places(points))) <= 0
    return not record.get('iscrowd') and told != 0 and not nowhere


def _places(points: list[float]) -> list[tuple[float, float]]:
    return list(zip(points[::3], points[1::3], strict=False))


def _count_faults(record: Mapping[str, Any], points: list[float]) -> Iterator[str]:
    """Whether somebody is taken of whom nothing can be seen."""
    if is_used(record, points) and not any(flag > 0 for flag in points[2::3]):
        told = record.get('num_keypoints')
        claim = '' if told is None else f', though num_keypoints is {told}'
        yield f'none of its key points is visible{claim}'


def _number_faults(record: Mapping[str, Any], flags: list[float]) -> Iterator[Fault]:
    """Whether ``num_keypoints``, visibilities and ``area`` are as they should be."""
    counted = sum(flag > 0 for flag in flags)
    if record.get('num_keypoints') == 0 and counted:
        yield 'warning', f'num_keypoints is 0, so {counted} visible ones are not used'
    if any(flag not in (0, LABELLED, VISIBLE) for flag in flags if flag >= 0):
        yield 'warning', 'visibilities other than 0, 1 and 2 count as themselves or 1'
    area = record.get('area')
    if area is not None and not math.isfinite(area):
        yield 'error', f'its area is {area}'


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
