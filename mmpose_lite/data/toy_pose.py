"""What toy people do: joint limits, activities and their random variation."""

from __future__ import annotations

import numpy as np

# Degrees. Angles of the arms and legs exist once a side, the others once a body.
JOINT_LIMITS: dict[str, tuple[float, float]] = {
    'spine_flex': (-15, 50), 'spine_side': (-20, 20), 'spine_twist': (-35, 35),
    'neck_flex': (-25, 35), 'neck_side': (-20, 20), 'neck_twist': (-55, 55),
    'shoulder_flex': (-45, 170), 'shoulder_abduct': (4, 160),
    'shoulder_rotate': (-40, 75), 'elbow': (3, 145),
    'hip_flex': (-20, 110), 'hip_abduct': (-6, 45), 'hip_rotate': (-35, 25),
    'knee': (0, 130), 'ankle': (-15, 40),
}  # fmt: skip
# Standard deviation of each angle around its activity's mean, degrees, same order.
_SPREAD = np.array([6, 5, 8, 8, 5, 20, 16, 10, 16, 18, 8, 5, 7, 9, 5], np.float64)

# Mean angles that differ from a relaxed stance; a pair is (one side, other side).
ACTIVITIES: dict[str, dict[str, float | tuple[float, float]]] = {
    'stand': {},
    'walk': {'hip_flex': (28, -12), 'knee': (8, 28), 'shoulder_flex': (-22, 26),
             'elbow': 32},
    'run': {'hip_flex': (68, -14), 'knee': (75, 62), 'shoulder_flex': (-38, 42),
            'elbow': 95, 'spine_flex': 12, 'ankle': 20},
    'wave': {'shoulder_abduct': (118, 14), 'elbow': (70, 15),
             'shoulder_rotate': (-30, 10)},
    'cheer': {'shoulder_abduct': 142, 'elbow': 28, 'spine_flex': -6},
    'reach': {'shoulder_flex': (105, 15), 'elbow': (18, 30)},
    'akimbo': {'shoulder_abduct': 42, 'shoulder_flex': -18, 'elbow': 98,
               'shoulder_rotate': 62},
    'spread': {'shoulder_abduct': 88, 'elbow': 12, 'hip_abduct': 26},
    'sit': {'hip_flex': 86, 'knee': 88, 'shoulder_flex': 32, 'elbow': 48,
            'hip_abduct': 12},
    'squat': {'hip_flex': 96, 'knee': 112, 'spine_flex': 28, 'shoulder_flex': 62,
              'hip_abduct': 18, 'ankle': -10},
    'lunge': {'hip_flex': (74, -16), 'knee': (72, 42), 'shoulder_abduct': 45,
              'elbow': 40},
    'bend': {'spine_flex': 46, 'hip_flex': 34, 'shoulder_flex': 52, 'knee': 14},
}  # fmt: skip
_RELAXED = {'shoulder_abduct': 15, 'elbow': 20, 'shoulder_rotate': 18, 'knee': 6,
            'hip_abduct': 6, 'hip_flex': 4, 'shoulder_flex': 4}  # fmt: skip

# Segment lengths as fractions of stature, after Drillis and Contini (tabled by Winter).
BONES: dict[str, float] = {
    'hip_width': 0.054, 'lumbar': 0.105, 'thorax': 0.182, 'shoulder_width': 0.112,
    'neck': 0.105, 'head': 0.058, 'upper_arm': 0.182, 'forearm': 0.152, 'hand': 0.062,
    'thigh': 0.243, 'shank': 0.243, 'foot': 0.098,
}  # fmt: skip

_ANGLES = tuple(JOINT_LIMITS)
_LIMITS = np.array(list(JOINT_LIMITS.values()), np.float64)


def _activity_means() -> np.ndarray:
    rows = [{**_RELAXED, **row} for row in ACTIVITIES.values()]
    return np.array(
        [[np.broadcast_to(row.get(a, 0.0), 2) for a in _ANGLES] for row in rows],
        np.float64,
    )  # (activity, angle, side)


_MEANS = _activity_means()


def sample_angles(rng: np.random.Generator, num: int) -> dict[str, np.ndarray]:
    """Joint angles of random activities, within ``JOINT_LIMITS``.

    Args:
        rng: Source of randomness.
        num: Number N of bodies.

    Returns:
        Angle name to degrees, ``(N, 2)`` as (left, right); an angle that exists once
        a body has two equal columns.
    """
    means = _MEANS[rng.integers(len(_MEANS), size=num)]
    mirrored = rng.random(num) < 0.5
    means = np.where(mirrored[:, None, None], means[:, :, ::-1], means)
    angles = means + _SPREAD[:, None] * rng.standard_normal(means.shape)
    angles = np.clip(angles, _LIMITS[:, :1], _LIMITS[:, 1:])
    angles[:, :6, 1] = angles[:, :6, 0]
    return {name: angles[:, i] for i, name in enumerate(_ANGLES)}


def sample_roots(rng: np.random.Generator, num: int) -> np.ndarray:
    """Orientations of whole bodies: mostly facing the camera, some from any side.

    Returns:
        ``(N, 3)`` degrees: camera pitch, roll, yaw.
    """
    facing = rng.normal(0, 35, num)
    anywhere = rng.uniform(-180, 180, num)
    yaw = np.where(rng.random(num) < 0.8, facing, anywhere)
    return np.stack([rng.normal(4, 4, num), rng.normal(0, 3.5, num), yaw], 1)


def sample_bones(rng: np.random.Generator, num: int) -> dict[str, np.ndarray]:
    """Segment lengths ``(N, 1)`` around ``BONES``: 5 % each, larger heads for some."""
    jitter = 1 + np.clip(rng.normal(0, 0.05, (num, len(BONES))), -0.12, 0.12)
    bones = {b: jitter[:, i : i + 1] * v for i, (b, v) in enumerate(BONES.items())}
    bones['head'] = bones['head'] * rng.uniform(1.0, 1.25, (num, 1))
    return bones
