"""Body parts of toy people: which joints they show and how thick they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .toy_body import KEYPOINTS, POINT

PARTS = (
    'pelvis', 'chest', 'neck', 'head', 'nose', 'left_eye', 'right_eye', 'left_ear',
    'right_ear', 'left_upper_arm', 'right_upper_arm', 'left_forearm', 'right_forearm',
    'left_hand', 'right_hand', 'left_thigh', 'right_thigh', 'left_shank',
    'right_shank', 'left_foot', 'right_foot',
)  # fmt: skip
PART = {name: i for i, name in enumerate(PARTS)}

# A joint shows where one of these parts, of its own side, is on top.
_JOINT_PARTS = {
    'shoulder': ('upper_arm',), 'elbow': ('upper_arm', 'forearm'),
    'wrist': ('forearm', 'hand'), 'hip': ('thigh',), 'knee': ('thigh', 'shank'),
    'ankle': ('shank', 'foot'),
}  # fmt: skip
# The torso on top shows a shoulder or hip unless that lies further behind the middle
# between left and right than this, in statures.
TORSO_PARTS = {'shoulder': ('chest',), 'hip': ('chest', 'pelvis')}
TORSO_DEPTH = {'shoulder': 0.085, 'hip': 0.035}


def _owners() -> np.ndarray:
    table = np.zeros((len(KEYPOINTS), len(PARTS)), bool)
    for i, name in enumerate(KEYPOINTS):
        side, _, joint = name.rpartition('_')
        for part in _JOINT_PARTS.get(joint, (joint,)):
            table[i, PART[f'{side}_{part}' if side else part]] = True
    return table


OWNERS = _owners()  # (keypoint, part): the part on top shows the joint, torso left out


@dataclass(frozen=True)
class Solid:
    """A tapered capsule between two points of the body.

    Attributes:
        kind: What it is, without its side; tells its colour.
        part: Index into ``PARTS``.
        start: Index of the point where it begins.
        end: Index of the point where it ends.
        radii: There, in statures; of the head's solids in head radii.
        lift: Added to its depth when parts are sorted, statures.
        on_head: Whether its radii count in head radii.
    """

    kind: str
    part: int
    start: int
    end: int
    radii: tuple[float, float]
    lift: float
    on_head: bool


def _solids() -> tuple[Solid, ...]:
    limbs = (
        # kind, part, from, to, radii, lift towards the camera
        ('upper_arm', 'upper_arm', 'shoulder', 'elbow', (0.035, 0.026), 0.012),
        ('sleeve', 'upper_arm', 'shoulder', 'elbow', (0.038, 0.031), 0.013),
        ('forearm', 'forearm', 'elbow', 'wrist', (0.026, 0.018), 0.020),
        ('hand', 'hand', 'wrist', 'hand', (0.019, 0.016), 0.022),
        ('thigh', 'thigh', 'hip', 'knee', (0.056, 0.037), 0.0),
        ('shank', 'shank', 'knee', 'ankle', (0.037, 0.023), 0.002),
        ('foot', 'foot', 'heel', 'toe', (0.028, 0.019), 0.004),
    )
    face = (
        ('ear', 'ear', 'ear', 'earlobe', (0.20, 0.17), 0.0),
        ('eye', 'eye', 'eye', 'eye', (0.21, 0.21), 0.0),
    )
    central = (
        ('neck', 'neck', 'neck', 'skull', (0.031, 0.029), -0.03),
        ('outline', 'head', 'skull', 'jaw', (1.06, 0.62), 0.0),
        ('jaw', 'head', 'skull', 'jaw', (0.86, 0.60), 0.0),
        ('hair', 'head', 'skull', 'skull', (1.06, 1.06), 0.0),
        ('strand', 'head', 'skull', 'nape', (1.10, 0.72), 0.0),
        ('muzzle', 'head', 'brow', 'jaw', (0.55, 0.52), 0.0),
        ('mouth', 'head', 'left_mouth', 'right_mouth', (0.085, 0.085), 0.0),
        ('nose', 'nose', 'bridge', 'nose', (0.09, 0.17), 0.0),
    )
    rows = [
        Solid(kind, PART[f'{side}_{part}'], POINT[f'{side}_{start}'],
              POINT[f'{side}_{end}'], radii, lift, table is face)
        for table in (limbs, face)
        for side in ('left', 'right')
        for kind, part, start, end, radii, lift in table
    ]  # fmt: skip
    rows += [
        Solid(kind, PART[part], POINT[start], POINT[end], radii, lift, kind != 'neck')
        for kind, part, start, end, radii, lift in central
    ]
    return tuple(rows)


SOLIDS = _solids()
