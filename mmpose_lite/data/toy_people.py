"""Toy people: articulated bodies in sampled poses, drawn as shaded, rounded parts.

A body lives in its own frame: x points to the person's left, y up, z forward, the
origin lies between the hips and the unit is the stature. After the root rotation z
points at the camera, so yaw 0 faces it and the person's left lies on the image's right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np

SIDES = {'left': 1.0, 'right': -1.0}

# Degrees: least, most, and standard deviation around an activity's mean. Angles of the
# arms and legs exist once a side, the others once a body.
JOINT_LIMITS: dict[str, tuple[float, float, float]] = {
    'spine_flex': (-15, 50, 6), 'spine_side': (-20, 20, 5), 'spine_twist': (-35, 35, 8),
    'neck_flex': (-25, 35, 8), 'neck_side': (-20, 20, 5), 'neck_twist': (-55, 55, 20),
    'shoulder_flex': (-45, 170, 16), 'shoulder_abduct': (4, 160, 10),
    'shoulder_rotate': (-40, 75, 16), 'elbow': (3, 145, 18), 'hip_flex': (-20, 110, 8),
    'hip_abduct': (-6, 45, 5), 'hip_rotate': (-35, 25, 7), 'knee': (0, 130, 9),
    'ankle': (-15, 40, 5),
}  # fmt: skip
# Mean angles that differ from a relaxed stance; a pair is (one side, other side).
_RELAXED = {'shoulder_abduct': 15, 'elbow': 20, 'shoulder_rotate': 18, 'knee': 6,
            'hip_abduct': 6, 'hip_flex': 4, 'shoulder_flex': 4}  # fmt: skip
ACTIVITIES: dict[str, dict[str, float | tuple[float, float]]] = {
    'stand': {},
    'walk': {'hip_flex': (28, -12), 'knee': (8, 28), 'shoulder_flex': (-22, 26)},
    'run': {'hip_flex': (68, -14), 'knee': (75, 62), 'elbow': 95, 'spine_flex': 12},
    'wave': {'shoulder_abduct': (118, 14), 'elbow': (70, 15)},
    'cheer': {'shoulder_abduct': 142, 'elbow': 28, 'spine_flex': -6},
    'akimbo': {'shoulder_abduct': 42, 'elbow': 98, 'shoulder_rotate': 62},
    'spread': {'shoulder_abduct': 88, 'elbow': 12, 'hip_abduct': 26},
    'sit': {'hip_flex': 86, 'knee': 88, 'shoulder_flex': 32, 'hip_abduct': 12},
    'squat': {'hip_flex': 96, 'knee': 112, 'spine_flex': 28, 'shoulder_flex': 62},
    'bend': {'spine_flex': 46, 'hip_flex': 34, 'shoulder_flex': 52},
}  # fmt: skip

# Point: its parent, the frame that carries it, and the way there: left, up, forward.
# Lengths are fractions of the stature, after Drillis and Contini (tabled by Winter); in
# the face radii of the head.
_MIDDLE = {
    'waist': ('root', 'pelvis', (0, 0.105, 0)), 'top': ('waist', 'chest', (0, 0.18, 0)),
    'neck': ('top', 'chest', (0, 0.03, 0)), 'skull': ('neck', 'head', (0, 0.088, 0)),
    'nape': ('neck', 'chest', (0, -0.09, -0.045)),
    'brow': ('skull', 'face', (0, 0, 0.39)), 'jaw': ('skull', 'face', (0, -0.68, 0.3)),
    'bridge': ('skull', 'face', (0, -0.14, 1.05)),
    'nose': ('skull', 'face', (0, -0.34, 1.17)),
}  # fmt: skip
_SIDED = {
    'eye': ('skull', 'face', (0.42, 0, 0.9)), 'ear': ('skull', 'face', (1, -0.05, 0)),
    'mouth': ('skull', 'face', (0.26, -0.84, 0.86)),
    'earlobe': ('skull', 'face', (1, -0.25, 0)),
    'hip': ('root', 'pelvis', (0.054, 0, 0)), 'flank': ('waist', 'chest', (0.05, 0, 0)),
    'shoulder': ('top', 'chest', (0.112, 0, 0)),
    'breast': ('top', 'chest', (0.08, -0.02, 0)),
    'elbow': ('shoulder', 'upper_arm', (0, -0.182, 0)),
    'wrist': ('elbow', 'forearm', (0, -0.152, 0)),
    'hand': ('wrist', 'forearm', (0, -0.062, 0)),
    'knee': ('hip', 'thigh', (0, -0.243, 0)), 'ankle': ('knee', 'shank', (0, -0.24, 0)),
    'heel': ('ankle', 'foot', (0, -0.02, -0.02)),
    'toe': ('ankle', 'foot', (0, -0.02, 0.1)),
}  # fmt: skip


class Body(NamedTuple):
    """A posed body."""

    points: dict[str, np.ndarray]  # x right, y up, z towards the camera, statures
    head: np.ndarray  # (3, 3): columns are the head's left, up, forward
    radius: float  # of the head, statures


def _turn(axis: int, degrees: float) -> np.ndarray:
    """Right-handed rotation about a coordinate axis."""
    return cv2.Rodrigues(np.radians(degrees) * np.eye(3)[axis])[0]


def sample_angles(rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Joint angles (left, right) of a random activity, degrees, in ``JOINT_LIMITS``."""
    means = {**_RELAXED, **list(ACTIVITIES.values())[rng.integers(len(ACTIVITIES))]}
    order = slice(None, None, -1 if rng.random() < 0.5 else 1)
    angles = {}
    for name, (low, high, spread) in JOINT_LIMITS.items():
        mean = np.broadcast_to(means.get(name, 0.0), 2)[order]
        left, right = (mean + spread * rng.standard_normal(2)).clip(low, high).tolist()
        angles[name] = (left, left if name.startswith(('spine', 'neck')) else right)
    return angles


def sample_bones(rng: np.random.Generator) -> dict[str, float]:
    """Factors on lengths, 5 % around 1, the same left and right; some larger heads."""
    names = [*_MIDDLE, *_SIDED, 'head']
    jitter = 1 + rng.normal(0, 0.05, len(names)).clip(-0.12, 0.12)
    jitter[-1] *= rng.uniform(1.0, 1.25)
    return dict(zip(names, jitter.tolist(), strict=True))


def sample_body(rng: np.random.Generator) -> Body:
    """A body in a random pose; most face the camera, some any side."""
    yaw = rng.normal(0, 35) if rng.random() < 0.8 else rng.uniform(-180, 180)
    root = (rng.normal(4, 4), rng.normal(0, 3.5), yaw)
    return pose_body(sample_angles(rng), root, sample_bones(rng))


def pose_body(
    angles: Mapping[str, tuple[float, float]],
    root: tuple[float, float, float],
    bones: Mapping[str, float],
) -> Body:
    """Forward kinematics; ``root`` is the camera's pitch, roll and yaw, degrees."""
    pelvis = _turn(0, root[0]) @ _turn(2, root[1]) @ _turn(1, root[2])
    turn = {name: left for name, (left, _) in angles.items()}
    chest = pelvis @ _turn(1, turn['spine_twist']) @ _turn(2, turn['spine_side'])
    chest = chest @ _turn(0, turn['spine_flex'])
    # People hold their head up: the neck takes back half of the spine's bend.
    nod = _turn(0, turn['neck_flex'] - 0.5 * turn['spine_flex'])
    head = chest @ _turn(1, turn['neck_twist']) @ _turn(2, turn['neck_side']) @ nod
    radius = 0.058 * bones['head']
    frames = {'pelvis': pelvis, 'chest': chest, 'head': head, 'face': head * radius}
    points = {'root': np.zeros(3)}
    for name, (parent, frame, way) in _MIDDLE.items():
        points[name] = points[parent] + frames[frame] @ way * bones[name]
    for column, (side, sign) in enumerate(SIDES.items()):
        turn = {name: pair[column] for name, pair in angles.items()}
        upper = {'shoulder': ('upper_arm', chest), 'hip': ('thigh', pelvis)}
        for joint, (limb, parent) in upper.items():
            flex = parent @ _turn(0, -turn[f'{joint}_flex'])
            spread = flex @ _turn(2, sign * turn[f'{joint}_abduct'])
            frames[limb] = spread @ _turn(1, -sign * turn[f'{joint}_rotate'])
        frames['forearm'] = frames['upper_arm'] @ _turn(0, -turn['elbow'])
        frames['shank'] = frames['thigh'] @ _turn(0, turn['knee'])
        frames['foot'] = frames['shank'] @ _turn(0, turn['ankle'])
        for name, (parent, frame, (left, up, ahead)) in _SIDED.items():
            start = points[f'{side}_{parent}' if parent in _SIDED else parent]
            step = np.array([sign * left, up, ahead]) * bones[name]
            points[f'{side}_{name}'] = start + frames[frame] @ step
    return Body(points, head, radius)


# --- How they look ------------------------------------------------------------------

FRACTION_BITS = 4  # sub-pixel bits of the vertices that OpenCV takes
_RING = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_RING = np.stack([np.cos(_RING), np.sin(_RING)], 1)
# Layers of shading: narrower, brighter and moved towards the light, one on another.
_LAYERS = ((1.0, 0.0, 0.74), (0.84, 0.10, 0.93), (0.46, 0.32, 1.10))

# BGR, 0..255.
_SKIN = np.array([(182, 206, 240), (155, 186, 230), (90, 128, 185), (45, 64, 98)])
_HAIR = np.array([(24, 22, 24), (45, 72, 110), (90, 160, 205), (150, 150, 155)])

SOLIDS: tuple[tuple[Any, ...], ...] = (
    # part, points in it, radii there (statures), lift towards the camera, colour
    ('neck', 'neck skull', (0.031, 0.029), -0.03, 'skin'),
    ('pelvis', 'left_flank right_flank left_hip right_hip', (0.055,) * 4, 0.002,
     'trousers'),
    ('chest', 'left_breast right_breast left_flank right_flank', (0.054,) * 4, 0.008,
     'shirt'),
    ('{}_upper_arm', '{}_shoulder {}_elbow', (0.035, 0.026), 0.012, 'arm'),
    ('{}_upper_arm', '{}_shoulder {}_sleeve', (0.038, 0.031), 0.013, 'shirt'),
    ('{}_forearm', '{}_elbow {}_wrist', (0.026, 0.018), 0.020, 'arm'),
    ('{}_hand', '{}_wrist {}_hand', (0.019, 0.016), 0.022, 'skin'),
    ('{}_thigh', '{}_hip {}_knee', (0.056, 0.037), 0.0, 'trousers'),
    ('{}_shank', '{}_knee {}_ankle', (0.037, 0.023), 0.002, 'leg'),
    ('{}_foot', '{}_ankle {}_heel {}_toe', (0.021, 0.028, 0.019), 0.004, 'shoes'),
)  # fmt: skip
FEATURES: tuple[tuple[Any, ...], ...] = (
    # part, points, radii (of the head), colour, tone; drawn where this direction of the
    # head (left, up, forward) faces the camera by more than the number behind it
    ('head', 'skull jaw', (1.06, 0.62), 'hair', 0.75, (0, 0, 1), -2),
    ('head', 'skull jaw', (0.86, 0.60), 'skin', 0.84, (0, 0, 1), -2),
    ('head', 'skull', (1.06,), 'hair', 0.95, (0, 0, 1), -2),
    ('head', 'brow jaw', (0.78, 0.58), 'skin', 0.97, (0, -0.4, 0.92), -0.2),
    ('head', 'left_mouth right_mouth', (0.08, 0.08), 'lips', 0.9, (0, -0.4, 0.92), 0.1),
    ('head', 'skull nape', (1.02, 0.72), 'mane', 0.85, (0, 0, -1), 0.0),
    ('{}_ear', '{}_ear {}_earlobe', (0.20, 0.17), 'ear', 0.8, (1, 0, 0), -0.3),
    ('{}_eye', '{}_eye', (0.21,), 'white', 1.0, (0.42, 0.02, 0.9), 0.15),
    ('{}_eye', '{}_eye', (0.10,), 'pupil', 1.0, (0.42, 0.02, 0.9), 0.15),
    ('nose', 'bridge nose', (0.09, 0.17), 'skin', 0.78, (0, 0, 1), -0.2),
)  # fmt: skip
PARTS = [row[0].format(side) for row in (*SOLIDS, *FEATURES) for side in SIDES]
PARTS = [*dict.fromkeys(PARTS)]


class Look(NamedTuple):
    """How a person looks."""

    colors: Mapping[str, Any]  # BGR, 0..255; None is not drawn
    build: float  # factor on the thickness of body and limbs
    sleeve: float  # part of the upper arm that is covered


def sample_color(rng: np.random.Generator) -> np.ndarray:
    """A muted BGR colour, of cloth or of things."""
    return (rng.uniform(30, 225) + rng.uniform(-65, 65, 3)).clip(0, 255)


def sample_look(rng: np.random.Generator) -> Look:
    """A random look: skin, hair, shirt, trousers or shorts, shoes."""
    tint = rng.uniform(0.95, 1.03, 3)
    skin, hair = rng.choice(_SKIN) * tint, rng.choice(_HAIR) * tint
    shirt, trousers, shoes = (sample_color(rng) for _ in range(3))
    sleeve = rng.choice([0.45, 0.75, 2.0])  # above 1 the forearm is covered, too
    long_hair = rng.random() < 0.35
    colors = dict(
        skin=skin, hair=hair, shirt=shirt, trousers=trousers, shoes=shoes,
        arm=shirt if sleeve > 1 else skin, leg=skin if rng.random() < 0.3 else trousers,
        lips=skin * (0.62, 0.55, 0.85), white=np.array([235, 240, 240]),
        pupil=np.array([35, 28, 25]), mane=hair if long_hair else None,
        ear=None if long_hair else skin,
    )  # fmt: skip
    return Look(colors, rng.uniform(0.95, 1.3), min(sleeve, 1.0))


Layer = tuple[np.ndarray, list[float]]  # fixed-point vertices (V, 2), and BGR


class Shape(NamedTuple):
    """Polygons of one part, drawn one on another; the first is the outline."""

    depth: float  # larger is nearer to the camera, statures
    part: str
    layers: list[Layer]


def hull(centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Convex outline of circles, px, in OpenCV's fixed point ``(V, 2)``."""
    circles = centres[:, None] + radii[:, None, None] * _RING
    points = np.rint(circles.reshape(-1, 2) * (1 << FRACTION_BITS)).astype(np.int32)
    return cv2.convexHull(points)[:, 0]


def toned(color: np.ndarray, factor: float) -> list[float]:
    """A colour made darker or brighter, as OpenCV takes it."""
    return (color * factor).clip(0, 255).tolist()


def shaded(
    centres: np.ndarray, radii: np.ndarray, color: np.ndarray, light: np.ndarray
) -> list[Layer]:
    """Layers of a rounded thing around circles, lit from a direction (y down)."""
    return [
        (hull(centres + s * radii.mean() * light, w * radii), toned(color, t))
        for w, s, t in _LAYERS
    ]


def person_shapes(
    body: Body, stature: float, look: Look, light: np.ndarray
) -> list[Shape]:
    """Everything to draw of a person, far to near; its points are x, y in px."""
    at, colors, shapes = dict(body.points), look.colors, []
    for side in SIDES:
        shoulder, elbow = at[f'{side}_shoulder'], at[f'{side}_elbow']
        way = (elbow - shoulder) * (look.sleeve, look.sleeve, 1)  # as deep as the arm
        at[f'{side}_sleeve'] = shoulder + way

    def solid(names: str, side: str) -> np.ndarray:
        return np.array([at[name] for name in names.format(*3 * [side]).split()])

    for part, names, radii, lift, color in SOLIDS:
        for side in SIDES if '{}' in part else ['']:
            points, thick = solid(names, side), np.array(radii) * stature * look.build
            depth = points[:, 2].mean()
            # What is far is a little darker, which tells the two legs apart.
            tone = colors[color] * (1 + 0.9 * np.clip(depth, -0.2, 0.05))
            layers = shaded(points[:, :2], thick, tone, light)
            shapes.append(Shape(depth + lift, part.format(side), layers))
    depth = at['skull'][2] + 0.04
    for part, names, radii, color, tone, axis, limit in FEATURES:
        for side, sign in SIDES.items() if '{}' in part else [('', 1.0)]:
            facing = body.head[2] @ (axis[0] * sign, axis[1], axis[2])
            if facing > limit and colors[color] is not None:
                thick = np.array(radii) * body.radius * stature
                polygon = hull(solid(names, side)[:, :2], thick)
                layer = polygon, toned(colors[color], tone)
                shapes.append(Shape(depth, part.format(side), [layer]))
                depth += 1e-4  # keeps this order when all shapes are sorted
    return sorted(shapes, key=lambda shape: shape.depth)
