"""Drawing of toy people: shaded parts in the order they hide each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .toy_body import POINT, Bodies
from .toy_look import Look
from .toy_parts import PART, SOLIDS
from .toy_shapes import FLIP, capsules, fixed_point, hulls, visible_cap

# Layers of shading: narrower, brighter and moved towards the light, one on another.
_WIDTH = np.array([1.0, 0.84, 0.46])
_SHIFT = np.array([0.0, 0.10, 0.32])
_TONE = np.array([0.74, 0.93, 1.10])

_FROM = np.array([s.start for s in SOLIDS])
_TO = np.array([s.end for s in SOLIDS])
_RADII = np.array([s.radii for s in SOLIDS])
_ON_HEAD = np.array([s.on_head for s in SOLIDS])
_LIFT = np.array([s.lift for s in SOLIDS])
_SLEEVES = np.array([s.kind == 'sleeve' for s in SOLIDS])
_LIMBS = np.flatnonzero(~_ON_HEAD)
_HEAD = {(s.kind, s.part): i for i, s in enumerate(SOLIDS) if s.on_head}
_FACE_AXIS = np.array([0.0, -0.40, 0.9165])  # in the head's frame: a little downwards
_FACE_ANGLE = np.radians(76)

_TORSO = (
    # part, its four points, radii there (statures), lift towards the camera
    ('pelvis', ('waist', 'hip'), (0.050, 0.056), 0.002),
    ('chest', ('chest', 'waist'), (0.052, 0.056), 0.008),
)


@dataclass(frozen=True)
class Shape:
    """Polygons of one part that are drawn one on another.

    Attributes:
        depth: Larger is nearer to the camera, statures.
        part: Index into ``PARTS``.
        polygons: Fixed-point vertices ``(V, 2)`` each; the first is the outline.
        colors: BGR of each polygon.
    """

    depth: float
    part: int
    polygons: Sequence[np.ndarray] | np.ndarray
    colors: Sequence[Sequence[float]]


def _tone(color: np.ndarray, factor: float) -> list[float]:
    return [min(channel * factor, 255.0) for channel in color.tolist()]


def _solid_polygons(
    xy: np.ndarray, stature: np.ndarray, head_radius: np.ndarray, looks: list[Look],
    light: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Outlines ``(N, solid, layer, vertex, 2)`` of all solids of all persons."""
    start, end = xy[:, _FROM], xy[:, _TO].copy()
    covered = np.array([min(look.sleeve, 1.0) for look in looks])[:, None, None]
    end[:, _SLEEVES] += (covered - 1) * (end - start)[:, _SLEEVES]
    build = np.array([look.build for look in looks])
    unit = np.where(_ON_HEAD, head_radius[:, None], (stature * build)[:, None])
    radii = _RADII * unit[..., None]  # (N, solid, 2)
    # Only round limbs are lit from the side: a pupil stays in its eye.
    shine = np.where(_ON_HEAD, 0.0, radii.mean(-1))[:, :, None, None]
    shift = shine * (_SHIFT[:, None] * light)
    layered = radii[:, :, None] * _WIDTH[:, None]
    return fixed_point(
        capsules(
            start[:, :, None] + shift,
            end[:, :, None] + shift,
            layered[..., 0],
            layered[..., 1],
        )
    )


def _limb_shapes(polygons: np.ndarray, z: np.ndarray, look: Look) -> list[Shape]:
    covered = look.shirt if look.sleeve > 1 else look.skin
    cloth = {
        'upper_arm': covered, 'forearm': covered, 'hand': look.skin,
        'sleeve': look.shirt, 'thigh': look.trousers, 'foot': look.shoes,
        'shank': look.skin if look.shorts else look.trousers, 'neck': look.skin,
    }  # fmt: skip
    depth = 0.5 * (z[_FROM] + z[_TO])[_LIMBS]
    # Far limbs are a little darker, which tells the two legs apart.
    shade = _TONE * (1 + 0.9 * np.clip(depth, -0.2, 0.05))[:, None]
    colors = (
        np.array([cloth[SOLIDS[i].kind] for i in _LIMBS])[:, None] * shade[..., None]
    )
    return [
        Shape(near, SOLIDS[i].part, polygons[i], tones)
        for i, near, tones in zip(
            _LIMBS.tolist(),
            (depth + _LIFT[_LIMBS]).tolist(),
            np.minimum(colors, 255).tolist(),
            strict=True,
        )
    ]


def _torso_shapes(
    xy: np.ndarray, z: np.ndarray, stature: float, look: Look, light: np.ndarray
) -> list[Shape]:
    shapes = []
    for part, ends, radii, lift in _TORSO:
        index = [POINT[f'{side}_{end}'] for end in ends for side in ('left', 'right')]
        radius = np.repeat(radii, 2) * stature * look.build
        shift = _SHIFT[:, None, None] * radius[:, None] * light
        polygons = hulls(xy[index] + shift, _WIDTH[:, None] * radius)
        color = look.shirt if part == 'chest' else look.trousers
        colors = [_tone(color, t) for t in (0.72, 0.93, 1.05)]
        if part == 'chest' and look.striped:
            middle = 0.5 * (xy[index[:2]] + xy[index[2:]])
            polygons += hulls(middle[None], 0.3 * radius[None, :2])
            colors.append(_tone(look.stripe, 1.0))
        fixed = [fixed_point(p) for p in polygons]
        shapes.append(Shape(float(z[index].mean()) + lift, PART[part], fixed, colors))
    return shapes


def _head_shapes(
    polygons: np.ndarray, xy: np.ndarray, z: np.ndarray, head: np.ndarray,
    radius: float, look: Look,
) -> list[Shape]:  # fmt: skip
    """Hair, face and its features; those that the head hides are left out."""
    skin, hair = look.skin, look.hair

    def solid(kind: str, part: str = 'head') -> np.ndarray:
        return polygons[_HEAD[kind, PART[part]]]

    # The outline of the whole head comes first: it is what the id buffer receives.
    drawn = [solid('outline')[0], solid('jaw')[0], solid('hair')[0], solid('hair')[1]]
    colors = [
        _tone(hair, 0.75),
        _tone(skin, 0.84),
        _tone(hair, 0.88),
        _tone(hair, 1.05),
    ]
    axis = head @ _FACE_AXIS
    cap = visible_cap(axis, _FACE_ANGLE)
    if len(cap):
        drawn.append(fixed_point(xy[POINT['skull']] + 1.04 * radius * cap * FLIP))
        colors.append(_tone(skin, 0.97))
    if axis[2] > 0.1:
        drawn += [solid('muzzle')[0], solid('mouth')[0]]
        colors += [_tone(skin, 1.04), _tone(skin * (0.62, 0.55, 0.85), 0.9)]
    depth = float(z[POINT['skull']]) + 0.04
    shapes = [Shape(depth, PART['head'], drawn, colors)]
    if look.long_hair:
        # Behind the neck of one who faces the camera, over the shirt of one who
        # turns the back.
        near = float(z[POINT['nape']]) + (0.06 if head[2, 2] < 0 else -0.06)
        tones = [_tone(hair, 0.8), _tone(hair, 0.95)]
        shapes.append(Shape(near, PART['head'], solid('strand')[:2], tones))
    features = []
    for side, sign in (('left', 1.0), ('right', -1.0)):
        if head[2, 0] * sign > -0.3 and not look.long_hair:
            features.append(
                ('ear', f'{side}_ear', [_tone(skin, 0.8), _tone(skin, 1.0)])
            )
        if head[2] @ (0.42 * sign, 0.02, 0.9) > 0.15:
            features.append(
                ('eye', f'{side}_eye', [[235.0, 240.0, 240.0], [35.0, 28.0, 25.0]])
            )
    if head[2, 2] > -0.2:
        features.append(('nose', 'nose', [_tone(skin, 0.76), _tone(skin, 0.95)]))
    for step, (kind, part, tones) in enumerate(features, 1):
        # Tiny steps in depth keep this order when all shapes are sorted.
        shape = solid(kind, part)[[0, 2]]
        shapes.append(Shape(depth + 1e-4 * step, PART[part], shape, tones))
    return shapes


def people_shapes(
    bodies: Bodies, xy: np.ndarray, stature: np.ndarray, looks: list[Look],
    light: np.ndarray,
) -> list[list[Shape]]:  # fmt: skip
    """Everything to draw of N people.

    Args:
        bodies: The posed bodies.
        xy: ``(N, len(POINT), 2)`` image points, px.
        stature: ``(N,)``, px.
        looks: N looks.
        light: Unit vector ``(2,)`` towards the light, y down.

    Returns:
        For each person the shapes from far to near.
    """
    head_radius = bodies.head_radius * stature
    polygons = _solid_polygons(xy, stature, head_radius, looks, light)
    people = []
    for i, look in enumerate(looks):
        z = bodies.points[i, :, 2]
        shapes = [
            *_limb_shapes(polygons[i], z, look),
            *_torso_shapes(xy[i], z, float(stature[i]), look, light),
            *_head_shapes(polygons[i], xy[i], z, bodies.heads[i], head_radius[i], look),
        ]
        people.append(sorted(shapes, key=lambda shape: shape.depth))
    return people
