"""In which units, and from which corner, the numbers of a COCO file are meant.

Tools write parts of the image, per cent, corners or centres; nothing fails then, it is
only learnt and measured wrongly. A person's box and the extent of the keypoints lie
over each other if both are read as they were meant.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Person = tuple[Mapping[str, Any], tuple[float, float]]
"""An annotation, and (width, height) of its image, px."""

_FEWEST = 3  # people below which nothing is concluded
_BETTER = 0.25  # overlap that another reading must gain
_TWICE = 0.02  # of a box's side, within which two people's keypoints are the same
_CORNER = 0.01  # part of visible keypoints at (0, 0) that is no accident
_AREAS = (0.01, 2.0)  # of the box; COCO's people have 0.15 to 0.95, boxes 1


def convention_faults(people: Sequence[Person]) -> Iterator[tuple[str, str]]:
    """What is meant by other units: grades and sentences of findings.

    Boxes and keypoints of the people must be sound.
    """
    points = [
        np.array(record['keypoints'], np.float64).reshape(-1, 3) for record, _ in people
    ]
    visible = [one[one[:, 2] > 0, :2] for one in points]
    yield from _area_faults(people)
    yield from _corner_faults(visible)
    yield from _twice_faults(people, points)
    clear = [index for index, one in enumerate(visible) if len(one) > 2]
    if len(clear) < _FEWEST:
        return
    people, places = [people[i] for i in clear], [visible[i] for i in clear]
    boxes = np.array([record['bbox'] for record, _ in people], np.float64)
    sizes = np.array([size for _, size in people], np.float64)
    ends = np.stack([np.concatenate([one.min(0), one.max(0)]) for one in places])
    largest = max(boxes.max(), ends.max())
    for whole, what in ((1, 'parts of the image (0 to 1)'), (100, 'per cent')):
        if largest <= 1.01 * whole and sizes.min() > 2 * whole and (
            whole == 1 or largest > 0.9 * whole
        ):  # fmt: skip
            yield 'fatal', f'its boxes and keypoints look like {what}, not like px'
            return
    corner, side, twice = boxes[:, :2], boxes[:, 2:], np.tile(sizes, 2)
    own = np.hstack([corner, corner + side])
    readings = {
        'boxes look like left, top, right, bottom': (boxes, ends),
        'boxes look like centre, width, height': (
            np.hstack([corner - side / 2, corner + side / 2]), ends,
        ),
        'boxes look like parts of the image (0 to 1)': (own * twice, ends),
        'keypoints look like parts of the image (0 to 1)': (own, ends * twice),
        'keypoints look like per cent of the image': (own, ends * twice / 100),
        'keypoints look relative to their boxes, in px': (
            own, ends + np.tile(corner, 2),
        ),
        'keypoints look like parts of their boxes (0 to 1)': (
            own, ends * np.tile(side, 2) + np.tile(corner, 2),
        ),
    }  # fmt: skip
    found = {what: _overlap(*pair) for what, pair in readings.items()}
    best = max(found, key=lambda what: found[what])
    if found[best] > _overlap(own, ends) + _BETTER:
        what = f'its {best}; MMPose wants px, and boxes as left, top, width, height'
        yield 'fatal', what


def _area_faults(people: Sequence[Person]) -> Iterator[tuple[str, str]]:
    """Areas that belong to no person of the box's size: OKS divides by them."""
    odd = []
    for record, _ in people:
        area, (_, _, width, height) = record.get('area'), record['bbox']
        share = None if area is None else area / max(width * height, 1e-9)
        if share is not None and not _AREAS[0] < share < _AREAS[1]:
            odd.append(record)
    if odd:
        first = odd[0]
        yield (
            'error' if 2 * len(odd) > len(people) else 'warning',
            (
                f'the area of {len(odd)} of {len(people)} people is not that of a person '
                f'in their box (annotation {first.get("id")}: area {first["area"]}, box '
                f'{first["bbox"]}): similarity of keypoints and AP will be wrong'
            ),
        )


def _corner_faults(visible: Sequence[Array]) -> Iterator[tuple[str, str]]:
    """Missing keypoints that some tools write as visible ones at (0, 0)."""
    places = np.concatenate([np.zeros((0, 2)), *visible])
    count = int((places == 0).all(1).sum())
    if count > _CORNER * len(places):
        yield (
            'error',
            (
                f'{count} of {len(places)} visible keypoints lie at exactly (0, 0), where '
                'some tools write those that are missing; their visibility should be 0'
            ),
        )


def _twice_faults(
    people: Sequence[Person], points: Sequence[Array]
) -> Iterator[tuple[str, str]]:
    """People who stand in the file twice, such as a prediction and its correction."""
    by_image: dict[Any, list[tuple[Mapping[str, Any], Array]]] = {}
    for (record, _), places in zip(people, points, strict=True):
        by_image.setdefault(record['image_id'], []).append((record, places))
    pairs = [
        (first['id'], second['id'])
        for records in by_image.values()
        for (first, a), (second, b) in itertools.combinations(records, 2)
        if _same(first['bbox'], second['bbox'], a, b)
    ]
    if pairs:
        yield (
            'warning',
            (
                f'{len(pairs)} stand in it twice, such as annotations '
                f'{pairs[0][0]} and {pairs[0][1]}: the second one counts as missed'
            ),
        )


def _same(box: Sequence[float], other: Sequence[float], a: Array, b: Array) -> bool:
    """Whether boxes and keypoints of two people are nearly the same."""
    limit = _TWICE * max(box[2:])
    apart = max(abs(one - two) for one, two in zip(box, other, strict=True))
    if apart > 5 * limit or a.shape != b.shape:
        return False
    both = (a[:, 2] > 0) & (b[:, 2] > 0)
    return both.sum() > 2 and bool(np.abs(a - b)[both, :2].max() < limit)


def _overlap(first: Array, second: Array) -> float:
    """Median intersection over union of boxes ``(N, 4)``, each with its own partner."""
    low, high = np.maximum(first, second)[:, :2], np.minimum(first, second)[:, 2:]
    shared = (high - low).clip(0).prod(1)
    areas = [(one[:, 2:] - one[:, :2]).clip(0).prod(1) for one in (first, second)]
    return float(np.median(shared / np.maximum(areas[0] + areas[1] - shared, 1e-9)))
