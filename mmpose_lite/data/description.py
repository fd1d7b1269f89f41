"""What MMPose must know about key points, read from COCO annotations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

# COCO's own, per part; twice the deviation between annotators, relative to the root of
# the person's area.
SIGMAS = {
    'nose': 0.026, 'eye': 0.025, 'ear': 0.035, 'shoulder': 0.079, 'elbow': 0.072,
    'wrist': 0.062, 'hip': 0.107, 'knee': 0.087, 'ankle': 0.089,
}  # fmt: skip
OTHER_SIGMA = 0.067
"""Of parts that COCO does not have: the mean of its 17 key points."""

_LOWER = ('hip', 'knee', 'ankle', 'heel', 'toe', 'foot', 'leg')
_COLOURS = dict(left=[0, 255, 0], right=[255, 128, 0], middle=[51, 153, 255])
_SIDES = dict(left='right', right='left', l='r', r='l')
_SIDE = re.compile(r'(?<![a-z])(left|right|l|r)(?![a-z])|(left|right)', re.IGNORECASE)


def describe_keypoints(annotations: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The ``dataset_info`` that MMPose's data sets and configs take.

    Names say which key points change places in a mirrored image (``left_knee`` and
    ``right_knee``, ``l_knee`` and ``r_knee``, ``kneeLeft`` and ``kneeRight``), which
    belong to the lower body, and which deviation COCO's metric allows them.

    Args:
        annotations: Content of a COCO key-point file.
        name: Name of the data set.

    Raises:
        ValueError: If there is not one category with key points, a name occurs twice,
            or an annotation has another number of key points.
    """
    categories = [c for c in annotations.get('categories', []) if c.get('keypoints')]
    if len(categories) != 1:
        raise ValueError(
            "annotations must have one category with 'keypoints', got "
            f'{[c.get("name") for c in categories]}'
        )
    names: Sequence[str] = categories[0]['keypoints']
    repeated = sorted({n for n in names if list(names).count(n) > 1})
    if repeated:
        raise ValueError(f'key points must have different names, got twice: {repeated}')
    for person in annotations.get('annotations', []):
        count = len(person.get('keypoints', ()))
        if count not in (0, 3 * len(names)):
            raise ValueError(
                f'annotation {person.get("id")} must have 3 x {len(names)} numbers in '
                f'keypoints, got {count}'
            )
    links = [(a - 1, b - 1) for a, b in categories[0].get('skeleton', [])]
    wrong = [link for link in links if not all(0 <= i < len(names) for i in link)]
    if wrong:
        raise ValueError(f'skeleton must link key points 1 to {len(names)}: {wrong}')
    return dict(
        dataset_name=name,
        paper_info={},
        keypoint_info={i: _keypoint(i, names) for i in range(len(names))},
        skeleton_info={
            i: dict(link=(names[a], names[b]), id=i, color=_COLOURS['middle'])
            for i, (a, b) in enumerate(links)
        },
        joint_weights=[1.0] * len(names),
        sigmas=[sigma_of(n) for n in names],
    )


def mirrored(name: str) -> str:
    """A key point's name on the other side; the same name if it tells no side."""

    def other(match: re.Match[str]) -> str:
        text = match[0]
        swapped = _SIDES[text.lower()]
        if text.isupper():
            return swapped.upper()
        return swapped.capitalize() if text[0].isupper() else swapped

    return _SIDE.sub(other, name, count=1)


def sigma_of(name: str) -> float:
    """COCO's sigma of the part that a name ends in or contains."""
    parts = [part for part in SIGMAS if re.search(rf'{part}(?![a-z])', name.lower())]
    return SIGMAS[parts[0]] if parts else OTHER_SIGMA


def _keypoint(index: int, names: Sequence[str]) -> dict[str, Any]:
    """Entry of one key point."""
    name = names[index]
    twin = mirrored(name)
    has_twin = twin != name and twin in names
    side = _SIDE.search(name) if has_twin else None
    of = {'l': 'left', 'r': 'right'}[side[0][0].lower()] if side else 'middle'
    return dict(
        name=name,
        id=index,
        color=_COLOURS[of],
        type='lower' if any(part in name.lower() for part in _LOWER) else 'upper',
        swap=twin if has_twin else '',
    )
