"""The one description of keypoints: names, sides, links, colours and sigmas.

Names (``left_knee``, ``LKnee``, ``knie_links``) tell which keypoints change places in a
mirrored image, which belong to the lower body, how they are coloured, and which
deviation COCO's metric allows them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

COCO_KEYPOINTS = (
    'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder',
    'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist',
    'left_hip', 'right_hip', 'left_knee', 'right_knee', 'left_ankle', 'right_ankle',
)  # fmt: skip
COCO_LINKS = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7),
    (6, 8), (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
"""Pairs of indices from 0, with a line between."""

# COCO's own, per part; twice the deviation between annotators, relative to the root of
# the person's area.
SIGMAS = {
    'nose': 0.026, 'eye': 0.025, 'ear': 0.035, 'shoulder': 0.079, 'elbow': 0.072,
    'wrist': 0.062, 'hip': 0.107, 'knee': 0.087, 'ankle': 0.089,
}  # fmt: skip
OTHER_SIGMA = 0.067
"""Of parts that COCO does not have: the mean of its 17 keypoints."""

COLOURS = {'left': (0, 255, 0), 'right': (255, 128, 0), 'middle': (51, 153, 255)}
"""RGB of keypoints and links by side, MMPose's own."""

_LOWER = ('hip', 'knee', 'ankle', 'heel', 'toe', 'foot', 'leg')
_SIDES = {
    word: side
    for side, words in dict(
        left='left l lt lft links linker linke linkes gauche izquierda izquierdo izq '
        'esquerda esquerdo sinistra sinistro lewa lewy lewe vänster venstre '
        'левый левая левое 左 왼쪽',
        right='right r rt rgt rechts rechter rechte rechtes droite droit derecha '
        'derecho der direita direito destra destro prawa prawy prawe höger høyre højre '
        'правый правая правое 右 오른쪽',
    ).items()
    for word in words.split()
}
# Words of snake_case, CamelCase and the like; letters of other scripts as one word.
_WORD = re.compile(r'[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+')


def _words(name: str) -> list[str]:
    words = _WORD.findall(name) if name.isascii() else re.findall(r'[^\W_]+', name)
    return [word.lower() for word in words]


def _sides(name: str) -> list[tuple[str, str]]:
    """Sides that a name may tell, each with the name without it; likeliest first."""
    words, text = _words(name), name.lower()
    found = [
        (_SIDES[word], ' '.join([*words[:i], '*', *words[i + 1 :]]))
        for i, word in enumerate(words)
        if word in _SIDES
    ]
    for word, side in _SIDES.items():
        if text.startswith(word):
            found.append((side, f'*{text[len(word) :]}'))
        if text.endswith(word):
            found.append((side, f'{text[: -len(word)]}*'))
    return found


def find_pairs(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Keypoints that change places in a mirrored image.

    Returns:
        Name to its side, ``'left'`` or ``'right'``, and the name on the other one.
    """
    told = {name: _sides(name) for name in names}
    pairs: dict[str, tuple[str, str]] = {}
    for name in told:
        for side, rest in told[name]:
            twins = [
                other
                for other in told
                if other not in pairs
                and any(s != side and r == rest for s, r in told[other])
            ]
            if name not in pairs and len(twins) == 1:
                pairs[name] = side, twins[0]
                pairs[twins[0]] = 'right' if side == 'left' else 'left', name
    return pairs


def pair_problem(names: Sequence[str]) -> str:
    """What makes a flip of images wrong: names without a twin; ``''`` if nothing."""
    pairs = find_pairs(names)
    single = [n for n in names if n not in pairs and {*_words(n)} & {*_SIDES}]
    if single:
        which = f'nothing is the other side of {", ".join(single)}'
    elif len(names) > 2 and not pairs:
        which = 'no two keypoints are called left and right'
    else:
        return ''
    return (
        f'{which}: flipped images would be learnt with sides that are not exchanged; '
        'name pairs by `swap` in the description of the keypoints'
    )


def sigma_of(name: str) -> float:
    """COCO's sigma of the part that a name ends in or contains."""
    text = f'{name.lower()} {" ".join(_words(name))}'
    parts = [part for part in SIGMAS if re.search(rf'{part}(?![a-z])', text)]
    return SIGMAS[parts[0]] if parts else OTHER_SIGMA


def dataset_info(
    names: Sequence[str], links: Sequence[tuple[int, int]], name: str
) -> dict[str, Any]:
    """The ``dataset_info`` that MMPose's data sets, configs and drawing take.

    Names must be all different; links are pairs of their indices, from 0.
    """
    pairs = find_pairs(names)
    sides = [pairs[n][0] if n in pairs else 'middle' for n in names]
    return dict(
        dataset_name=name,
        paper_info={},
        keypoint_info={
            i: dict(
                name=n, id=i, color=list(COLOURS[sides[i]]),
                type='lower' if any(part in n.lower() for part in _LOWER) else 'upper',
                swap=pairs[n][1] if n in pairs else '',
            )
            for i, n in enumerate(names)
        },
        skeleton_info={
            i: dict(
                link=(names[a], names[b]), id=i,
                color=list(COLOURS[sides[a] if sides[a] == sides[b] else 'middle']),
            )
            for i, (a, b) in enumerate(links)
        },
        joint_weights=[1.0] * len(names),
        sigmas=[sigma_of(n) for n in names],
    )  # fmt: skip


def describe_keypoints(annotations: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The ``dataset_info`` of COCO annotations, guessed from their keypoints' names.

    Raises:
        ValueError: If there is not one category with keypoints, a name occurs twice,
            or an annotation has another number of keypoints.
    """
    if not isinstance(annotations, Mapping) or not all(
        isinstance(one, Mapping)
        for table in ('categories', 'annotations')
        for one in annotations.get(table) or ()
    ):
        raise ValueError(
            'annotations must hold lists of objects: categories, annotations'
        )
    given = annotations.get('categories') or ()
    categories = [c for c in given if c.get('keypoints')]
    if len(categories) != 1:
        raise ValueError(
            "annotations must have one category with 'keypoints', got "
            f'{[c.get("name") for c in categories]}'
        )
    names: Sequence[str] = categories[0]['keypoints']
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ValueError(f'keypoints must be a list of names, got {names!r:.80}')
    repeated = sorted({n for n in names if list(names).count(n) > 1})
    if repeated:
        raise ValueError(f'keypoints must have different names, got twice: {repeated}')
    for person in annotations.get('annotations') or ():
        count = len(person.get('keypoints') or ())
        if count not in (0, 3 * len(names)):
            raise ValueError(
                f'annotation {person.get("id")} must have 3 x {len(names)} numbers in '
                f'keypoints, got {count}'
            )
    try:
        skeleton = categories[0].get('skeleton') or ()
        links = [(int(a) - 1, int(b) - 1) for a, b in skeleton]
    except (TypeError, ValueError):
        raise ValueError(
            f'skeleton must be pairs of numbers, got {skeleton!r:.80}'
        ) from None
    wrong = [link for link in links if not all(0 <= i < len(names) for i in link)]
    if wrong:
        raise ValueError(f'skeleton must link keypoints 1 to {len(names)}: {wrong}')
    return dataset_info(names, links, name)
