"""Toy people: articulated bodies in sampled poses, drawn as shaded, rounded parts.

A body lives in its own frame: x points to the person's left, y up, z forward, the
origin lies between the hips and the unit is the stature. After the root rotation z
points at the camera, so yaw 0 faces it and the person's left lies on the image's right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

# Point: its parent, the frame that carries it, and the way there: left, up, forward.
# Lengths are fractions of the stature, after Drillis and Contini (tabled by Winter).
_MIDDLE = {
    'waist': ('root', 'pelvis', (0, 0.105, 0)), 'top': ('waist', 'chest', (0, 0.182, 0)),
    'neck': ('top', 'chest', (0, 0.012, 0)), 'nape': ('neck', 'chest', (0, -0.07, -0.045)),
    'throat': ('neck', 'chest', (0, 0.053, 0)), 'skull': ('throat', 'head', (0, 0.053, 0)),
}  # fmt: skip
_SIDED = {
    'hip': ('root', 'pelvis', (0.054, 0, 0)), 'flank': ('waist', 'chest', (0.049, 0, 0)),
    'shoulder': ('top', 'chest', (0.112, 0, 0)), 'breast': ('top', 'chest', (0.081, -0.022, 0)),
    'elbow': ('shoulder', 'upper_arm', (0, -0.182, 0)), 'wrist': ('elbow', 'forearm', (0, -0.152, 0)),
    'hand': ('wrist', 'forearm', (0, -0.062, 0)), 'knee': ('hip', 'thigh', (0, -0.243, 0)),
    'ankle': ('knee', 'shank', (0, -0.243, 0)), 'heel': ('ankle', 'foot', (0, -0.022, -0.018)),
    'toe': ('ankle', 'foot', (0, -0.025, 0.095)),
}  # fmt: skip
HEAD_RADIUS = 0.058
_ON_HEAD = {  # from the skull's middle, in radii of the head
    'nose': (0, -0.34, 1.17), 'bridge': (0, -0.14, 1.05), 'jaw': (0, -0.68, 0.30),
    'brow': (0, 0, 0.39), 'left_mouth': (0.26, -0.84, 0.86),
    'right_mouth': (-0.26, -0.84, 0.86), 'left_eye': (0.42, 0.02, 0.90),
    'right_eye': (-0.42, 0.02, 0.90), 'left_ear': (1.0, -0.05, -0.05),
    'right_ear': (-1.0, -0.05, -0.05), 'left_earlobe': (0.98, -0.25, -0.05),
    'right_earlobe': (-0.98, -0.25, -0.05),
}  # fmt: skip


class Body(NamedTuple):
    """A posed body."""

    # Name to x right, y up, z towards the camera, statures; in an image x, y down in px.
    points: dict[str, np.ndarray]
    head: np.ndarray  # (3, 3): columns are the head's left, up, forward
    radius: float  # of the head, statures


def _turn(axis: int, degrees: float) -> np.ndarray:
    """Right-handed rotation about a coordinate axis."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[i, i] = matrix[j, j] = cos
    matrix[j, i], matrix[i, j] = sin, -sin
    return matrix


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


def sample_root(rng: np.random.Generator) -> tuple[float, float, float]:
    """Camera pitch, roll and yaw, degrees: most face the camera, some any side."""
    yaw = rng.normal(0, 35) if rng.random() < 0.8 else rng.uniform(-180, 180)
    return rng.normal(4, 4), rng.normal(0, 3.5), yaw


def sample_bones(rng: np.random.Generator) -> dict[str, float]:
    """Factors on lengths, 5 % around 1, the same left and right; some larger heads."""
    names = [*_MIDDLE, *_SIDED, 'head']
    jitter = 1 + rng.normal(0, 0.05, len(names)).clip(-0.12, 0.12)
    bones = dict(zip(names, jitter.tolist(), strict=True))
    bones['head'] *= rng.uniform(1.0, 1.25)
    return bones


def pose_body(
    angles: Mapping[str, tuple[float, float]],
    root: tuple[float, float, float],
    bones: Mapping[str, float],
) -> Body:
    """Forward kinematics, of what the functions above sample."""
    pelvis = _turn(0, root[0]) @ _turn(2, root[1]) @ _turn(1, root[2])
    turn = {name: left for name, (left, _) in angles.items()}
    chest = pelvis @ _turn(1, turn['spine_twist']) @ _turn(2, turn['spine_side'])
    chest = chest @ _turn(0, turn['spine_flex'])
    # People hold their head up: the neck takes back half of the spine's bend.
    nod = _turn(0, turn['neck_flex'] - 0.5 * turn['spine_flex'])
    head = chest @ _turn(1, turn['neck_twist']) @ _turn(2, turn['neck_side']) @ nod
    frames = {'pelvis': pelvis, 'chest': chest, 'head': head}
    points = {'root': np.zeros(3)}
    radius = HEAD_RADIUS * bones['head']
    for name, (parent, frame, way) in _MIDDLE.items():
        points[name] = points[parent] + frames[frame] @ way * bones[name]
    for name, way in _ON_HEAD.items():
        points[name] = points['skull'] + head @ way * radius
    for column, (side, sign) in enumerate(SIDES.items()):
        turn = {name: pair[column] for name, pair in angles.items()}
        for joint, limb, parent in (
            ('shoulder', 'upper_arm', chest),
            ('hip', 'thigh', pelvis),
        ):
            flex = parent @ _turn(0, -turn[f'{joint}_flex'])
            spread = flex @ _turn(2, sign * turn[f'{joint}_abduct'])
            frames[limb] = spread @ _turn(1, -sign * turn[f'{joint}_rotate'])
        frames['forearm'] = frames['upper_arm'] @ _turn(0, -turn['elbow'])
        frames['shank'] = frames['thigh'] @ _turn(0, turn['knee'])
        frames['foot'] = frames['shank'] @ _turn(0, turn['ankle'])
        for name, (parent, frame, (left, up, ahead)) in _SIDED.items():
            start = points[f'{side}_{parent}' if parent in _SIDED else parent]
            way = np.array([sign * left, up, ahead]) * bones[name]
            points[f'{side}_{name}'] = start + frames[frame] @ way
    return Body(points, head, radius)


def sample_body(rng: np.random.Generator) -> Body:
    """A body in a random pose."""
    return pose_body(sample_angles(rng), sample_root(rng), sample_bones(rng))


# --- How they look ------------------------------------------------------------------

FRACTION_BITS = 4  # sub-pixel bits of the vertices that OpenCV takes
_RING = np.linspace(0, 2 * np.pi, 16, endpoint=False)
_RING = np.stack([np.cos(_RING), np.sin(_RING)], 1)
# Layers of shading: narrower, brighter and moved towards the light, one on another.
_LAYERS = ((1.0, 0.0, 0.74), (0.84, 0.10, 0.93), (0.46, 0.32, 1.10))

# BGR, 0..255.
_SKIN = np.array([(182, 206, 240), (155, 186, 230), (125, 165, 220), (90, 128, 185),
                  (62, 92, 140), (45, 64, 98)], np.float64)  # fmt: skip
_HAIR = np.array([(24, 22, 24), (30, 45, 70), (45, 72, 110), (90, 160, 205),
                  (35, 70, 150), (150, 150, 155)], np.float64)  # fmt: skip

_LIMBS = (
    # part, from, to, radii (statures), lift towards the camera, colour
    ('upper_arm', 'shoulder', 'elbow', (0.035, 0.026), 0.012, 'arm'),
    ('upper_arm', 'shoulder', 'sleeve', (0.038, 0.031), 0.013, 'shirt'),
    ('forearm', 'elbow', 'wrist', (0.026, 0.018), 0.020, 'arm'),
    ('hand', 'wrist', 'hand', (0.019, 0.016), 0.022, 'skin'),
    ('thigh', 'hip', 'knee', (0.056, 0.037), 0.0, 'trousers'),
    ('shank', 'knee', 'ankle', (0.037, 0.023), 0.002, 'leg'),
    ('foot', 'heel', 'toe', (0.028, 0.019), 0.004, 'shoes'),
)
_FACE = (0.0, -0.4, 0.92)
_HEAD = (
    # part, from, to, radii (of the head), colour, tone; drawn where this direction of
    # the head (left, up, forward) faces the camera by more than the number behind it
    ('head', 'skull', 'jaw', (1.06, 0.62), 'hair', 0.75, _FACE, -2.0),
    ('head', 'skull', 'jaw', (0.86, 0.60), 'skin', 0.84, _FACE, -2.0),
    ('head', 'skull', 'skull', (1.06, 1.06), 'hair', 0.88, _FACE, -2.0),
    ('head', 'skull', 'skull', (0.89, 0.89), 'hair', 1.05, _FACE, -2.0),
    ('head', 'brow', 'jaw', (0.78, 0.58), 'skin', 0.97, _FACE, -0.2),
    ('head', 'brow', 'jaw', (0.55, 0.50), 'skin', 1.04, _FACE, 0.1),
    ('head', 'left_mouth', 'right_mouth', (0.085, 0.085), 'lips', 0.9, _FACE, 0.1),
    ('ear', 'ear', 'earlobe', (0.20, 0.17), 'skin', 0.8, (1, 0, 0), -0.3),
    ('eye', 'eye', 'eye', (0.21, 0.21), 'white', 1.0, (0.42, 0.02, 0.9), 0.15),
    ('eye', 'eye', 'eye', (0.10, 0.10), 'pupil', 1.0, (0.42, 0.02, 0.9), 0.15),
    ('nose', 'bridge', 'nose', (0.09, 0.17), 'skin', 0.78, (0, 0, 1), -0.2),
)
_PAIRED = ('ear', 'eye', *dict.fromkeys(row[0] for row in _LIMBS))
PARTS = ('pelvis', 'chest', 'neck', 'head', 'nose',
         *(f'{side}_{part}' for side in SIDES for part in _PAIRED))  # fmt: skip


class Look(NamedTuple):
    """How a person looks."""

    colors: Mapping[str, np.ndarray]  # BGR, 0..255
    build: float  # factor on the thickness of body and limbs
    sleeve: float  # part of the upper arm that is covered
    long_hair: bool


def sample_look(rng: np.random.Generator) -> Look:
    """A random look: skin, hair, shirt, trousers or shorts, shoes."""

    def cloth(vivid: float, bright: float) -> np.ndarray:
        hue, saturation, value = rng.random(3) * (1, vivid, bright)
        rainbow = 0.5 + 0.5 * np.cos(2 * np.pi * (hue + np.array([2, 1, 0]) / 3))
        gray = 1 - 0.85 * saturation
        return 255 * (0.22 + 0.72 * value) * (gray + (1 - gray) * rainbow)

    tint = rng.uniform(0.95, 1.03, 3)
    skin, hair = rng.choice(_SKIN) * tint, rng.choice(_HAIR) * tint
    shirt, trousers, shoes = cloth(1, 1), cloth(0.7, 0.75), cloth(0.5, 1)
    sleeve = rng.choice([0.45, 0.75, 2.0])  # above 1 the forearm is covered, too
    colors = dict(
        skin=skin, hair=hair, shirt=shirt, trousers=trousers, shoes=shoes,
        arm=shirt if sleeve > 1 else skin, leg=skin if rng.random() < 0.3 else trousers,
        lips=skin * (0.62, 0.55, 0.85), white=np.array([235, 240, 240]),
        pupil=np.array([35, 28, 25]),
    )  # fmt: skip
    return Look(colors, rng.uniform(0.95, 1.3), min(sleeve, 1.0), rng.random() < 0.35)


class Shape(NamedTuple):
    """Polygons of one part, drawn one on another; the first is the outline."""

    depth: float  # larger is nearer to the camera, statures
    part: str
    layers: list[tuple[np.ndarray, Any]]  # fixed-point vertices (V, 2), and BGR


def hull(centres: Any, radii: Any) -> np.ndarray:
    """Convex outline of circles, px, in OpenCV's fixed point ``(V, 2)``."""
    circles = np.asarray(centres)[:, None] + np.asarray(radii)[:, None, None] * _RING
    points = np.rint(circles.reshape(-1, 2) * (1 << FRACTION_BITS)).astype(np.int32)
    return cv2.convexHull(points)[:, 0]


def shaded(
    centres: np.ndarray, radii: np.ndarray, color: np.ndarray, light: np.ndarray
) -> list[tuple[np.ndarray, list[float]]]:
    """Layers of a rounded thing around circles, lit from a direction (y down)."""
    return [
        (hull(centres + s * radii.mean() * light, w * radii), (color * t).clip(0, 255))
        for w, s, t in _LAYERS
    ]


def person_shapes(
    body: Body, stature: float, look: Look, light: np.ndarray
) -> list[Shape]:
    """Everything to draw of a person, from far to near.

    Args:
        body: With its points placed in the image.
        stature: px.
        look: Colours and clothes.
        light: Unit vector ``(2,)`` towards the light, y down.
    """
    at, colors, shapes = dict(body.points), look.colors, []

    def add(
        part: str, names: Sequence[str], radii: Any, lift: float, color: Any
    ) -> None:
        points = np.array([at[name] for name in names])
        thick = np.array(radii) * stature * look.build
        layers = shaded(points[:, :2], thick, color, light)
        shapes.append(Shape(points[:, 2].mean() + lift, part, layers))

    for side in SIDES:
        shoulder, elbow = at[f'{side}_shoulder'], at[f'{side}_elbow']
        at[f'{side}_sleeve'] = shoulder + look.sleeve * (elbow - shoulder)
        for part, start, end, radii, lift, color in _LIMBS:
            ends = (f'{side}_{start}', f'{side}_{end}')
            # Far limbs are a little darker, which tells the two legs apart.
            depth = 0.5 * (at[ends[0]][2] + at[ends[1]][2])
            dim = 1 + 0.9 * min(max(depth, -0.2), 0.05)
            add(f'{side}_{part}', ends, radii, lift, colors[color] * dim)
    add('neck', ('neck', 'skull'), (0.031, 0.029), -0.03, colors['skin'])
    for part, ends, lift, color in (
        ('pelvis', ('flank', 'hip'), 0.002, 'trousers'),
        ('chest', ('breast', 'flank'), 0.008, 'shirt'),
    ):
        four = [f'{side}_{end}' for end in ends for side in SIDES]
        add(part, four, (0.052, 0.052, 0.056, 0.056), lift, colors[color])
    radius = body.radius * stature
    depth = at['skull'][2] + 0.04
    for part, start, end, radii, color, tone, way, limit in _HEAD:
        for side, sign in SIDES.items() if part in _PAIRED else [('', 1.0)]:
            name = f'{side}_{{}}' if side else '{}'
            facing = body.head[2] @ (way[0] * sign, way[1], way[2])
            if facing > limit and not (look.long_hair and part == 'ear'):
                ends = [at[name.format(point)][:2] for point in (start, end)]
                polygon = hull(ends, np.array(radii) * radius)
                layers = [(polygon, (colors[color] * tone).clip(0, 255))]
                shapes.append(Shape(depth, name.format(part), layers))
                depth += 1e-4  # keeps this order when all shapes are sorted
    if look.long_hair:
        # Behind the neck of one who faces the camera, over the shirt of one who
        # turns the back.
        near = at['nape'][2] + (0.06 if body.head[2, 2] < 0 else -0.06)
        ends, thick = np.array([at['skull'], at['nape']]), np.array([1.1, 0.72])
        strands = shaded(ends[:, :2], thick * radius, colors['hair'], light)
        shapes.append(Shape(near, 'head', strands[:2]))
    return sorted(shapes, key=lambda shape: shape.depth)
