"""Articulated toy bodies: named points and forward kinematics.

A body lives in its own frame: x points to the person's left, y up, z forward, the
origin lies between the hips and the unit is the stature.
After the root rotation z points at the camera, so yaw 0 faces it and the person's left
lies on the image's right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

KEYPOINTS = (
    'nose', 'left_eye', 'right_eye', 'left_ear', 'right_ear', 'left_shoulder',
    'right_shoulder', 'left_elbow', 'right_elbow', 'left_wrist', 'right_wrist',
    'left_hip', 'right_hip', 'left_knee', 'right_knee', 'left_ankle', 'right_ankle',
)  # fmt: skip
EXTRA_POINTS = (
    'waist', 'neck', 'skull', 'jaw', 'left_mouth', 'right_mouth',
    'left_chest', 'right_chest', 'left_waist', 'right_waist', 'left_hand',
    'right_hand', 'left_heel', 'right_heel', 'left_toe', 'right_toe', 'nape',
    'left_earlobe', 'right_earlobe', 'brow', 'bridge',
)  # fmt: skip
POINT = {name: i for i, name in enumerate(KEYPOINTS + EXTRA_POINTS)}


@dataclass(frozen=True)
class Bodies:
    """Posed bodies of one image.

    Attributes:
        points: ``(N, len(POINT), 3)``, camera orientation, in statures: x right,
            y up, z towards the camera.
        heads: ``(N, 3, 3)`` rotations whose columns are the head's left, up, forward.
        head_radius: ``(N,)``, statures.
    """

    points: np.ndarray
    heads: np.ndarray
    head_radius: np.ndarray

    def take(self, index: list[int]) -> Bodies:
        """Some of the bodies."""
        return Bodies(self.points[index], self.heads[index], self.head_radius[index])


def _turn(axis: int, degrees: np.ndarray) -> np.ndarray:
    """Right-handed rotations about a coordinate axis, ``degrees.shape + (3, 3)``."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.zeros((*angle.shape, 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., axis, axis] = 1
    matrix[..., i, i] = matrix[..., j, j] = cos
    matrix[..., j, i], matrix[..., i, j] = sin, -sin
    return matrix


_SIDE = np.array([1.0, -1.0])  # left, right: mirrors rotations about y and z


def _limb(angles: dict[str, np.ndarray], joint: str) -> np.ndarray:
    """Rotation of an upper segment in its parent's frame, ``(N, 2, 3, 3)``."""
    flex, abduct, rotate = (
        angles[f'{joint}_{kind}'] for kind in ('flex', 'abduct', 'rotate')
    )
    return _turn(0, -flex) @ _turn(2, _SIDE * abduct) @ _turn(1, -_SIDE * rotate)


def pose_bodies(
    angles: dict[str, np.ndarray], roots: np.ndarray, bones: dict[str, np.ndarray]
) -> Bodies:
    """Forward kinematics of N bodies.

    Args:
        angles: As from :func:`.toy_pose.sample_angles`.
        roots: As from :func:`.toy_pose.sample_roots`.
        bones: As from :func:`.toy_pose.sample_bones`.

    Returns:
        The posed bodies.
    """
    num = len(roots)
    points = np.zeros((num, len(POINT), 3))

    def put(name: str, value: np.ndarray) -> np.ndarray:
        points[:, POINT[name]] = value
        return value

    def put_pair(name: str, value: np.ndarray) -> np.ndarray:
        points[:, [POINT[f'left_{name}'], POINT[f'right_{name}']]] = value
        return value

    def pair(half_width: np.ndarray, y: float = 0.0, z: float = 0.0) -> np.ndarray:
        offset = np.zeros((num, 2, 3, 1))
        offset[:, :, 0, 0] = _SIDE * half_width
        offset[:, :, 1:, 0] = (y, z)
        return offset

    root = _turn(0, roots[:, 0]) @ _turn(2, roots[:, 1]) @ _turn(1, roots[:, 2])
    twist, side, flex = (angles[f'spine_{k}'][:, 0] for k in ('twist', 'side', 'flex'))
    chest = root @ _turn(1, twist) @ _turn(2, side) @ _turn(0, flex)
    twist, side, flex = (angles[f'neck_{k}'][:, 0] for k in ('twist', 'side', 'flex'))
    # People hold their head up: the neck takes back half of the spine's bend.
    flex = flex - 0.5 * angles['spine_flex'][:, 0]
    head = chest @ _turn(1, twist) @ _turn(2, side) @ _turn(0, flex)

    waist = put('waist', root[:, :, 1] * bones['lumbar'])
    top = waist + chest[:, :, 1] * bones['thorax']
    neck = put('neck', top + chest[:, :, 1] * 0.012)
    skull = put('skull', neck + 0.5 * (chest + head)[:, :, 1] * bones['neck'])
    put('nape', neck - chest[:, :, 2] * 0.045 - chest[:, :, 1] * 0.07)

    pelvis2, chest2, head2 = root[:, None], chest[:, None], head[:, None]
    wide = bones['shoulder_width']
    hips = put_pair('hip', (pelvis2 @ pair(bones['hip_width']))[..., 0])
    put_pair('waist', waist[:, None] + (chest2 @ pair(wide * 0.44))[..., 0])
    put_pair('chest', top[:, None] + (chest2 @ pair(wide * 0.72, -0.022))[..., 0])
    shoulders = put_pair('shoulder', top[:, None] + (chest2 @ pair(wide))[..., 0])

    r = bones['head'][:, :, None]
    for name, half, y, z in (
        ('eye', 0.42, 0.02, 0.90), ('ear', 1.0, -0.05, -0.05),
        ('earlobe', 0.98, -0.25, -0.05), ('mouth', 0.26, -0.84, 0.86),
    ):  # fmt: skip
        ones = np.full((num, 1), half)
        put_pair(name, skull[:, None] + (head2 @ pair(ones, y, z))[..., 0] * r)
    for name, y, z in (
        ('nose', -0.34, 1.17), ('bridge', -0.14, 1.05), ('jaw', -0.68, 0.30),
        ('brow', 0.0, 0.39),
    ):  # fmt: skip
        put(name, skull + (head[:, :, 1] * y + head[:, :, 2] * z) * r[..., 0])

    down, ahead = np.array([0.0, -1.0, 0.0]), np.array([0.0, -0.25, 0.97])
    for parent, start, names, joint, hinge, sign in (
        (chest2, shoulders, ('upper_arm', 'forearm', 'hand'), 'shoulder', 'elbow', -1),
        (pelvis2, hips, ('thigh', 'shank', 'foot'), 'hip', 'knee', 1),
    ):
        upper = parent @ _limb(angles, joint)
        lower = upper @ _turn(0, sign * angles[hinge])
        middle = put_pair(hinge, start + upper @ down * bones[names[0]][:, None])
        end = middle + lower @ down * bones[names[1]][:, None]
        if joint == 'shoulder':
            put_pair('wrist', end)
            put_pair('hand', end + lower @ down * bones['hand'][:, None])
        else:
            put_pair('ankle', end)
            foot = lower @ _turn(0, angles['ankle'])
            put_pair('heel', end + foot @ np.array([0.0, -0.022, -0.018]))
            put_pair('toe', end + foot @ ahead * bones['foot'][:, None])
    return Bodies(points, head, bones['head'][:, 0])
