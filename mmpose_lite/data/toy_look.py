"""Colours and clothes of toy people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# BGR, 0..255.
_SKIN = np.array([(182, 206, 240), (155, 186, 230), (125, 165, 220), (90, 128, 185),
                  (62, 92, 140), (45, 64, 98)], np.float64)  # fmt: skip
_HAIR = np.array([(24, 22, 24), (30, 45, 70), (45, 72, 110), (90, 160, 205),
                  (35, 70, 150), (150, 150, 155)], np.float64)  # fmt: skip
_SLEEVES = (0.45, 0.75, 2.0)


@dataclass(frozen=True)
class Look:
    """How one person looks; colours are BGR, 0..255, ``(3,)``.

    Attributes:
        build: Factor on the thickness of body and limbs.
        sleeve: Covered fraction of the upper arm; above 1 the forearm is covered too.
    """

    skin: np.ndarray
    hair: np.ndarray
    shirt: np.ndarray
    trousers: np.ndarray
    shoes: np.ndarray
    stripe: np.ndarray
    build: float
    sleeve: float
    shorts: bool
    long_hair: bool
    striped: bool


def _cloth(hue: float, saturation: float, value: float) -> np.ndarray:
    rainbow = 0.5 + 0.5 * np.cos(2 * np.pi * (hue + np.array([2, 1, 0]) / 3))
    gray = 1 - 0.85 * saturation
    return 255 * (0.22 + 0.72 * value) * (gray + (1 - gray) * rainbow)


def sample_look(rng: np.random.Generator) -> Look:
    """A random look: skin, hair, shirt, trousers or shorts, shoes."""
    u = rng.random(22).tolist()
    tint = 0.95 + 0.08 * np.array(u[:3])
    return Look(
        skin=_SKIN[int(u[3] * len(_SKIN))] * tint,
        hair=_HAIR[int(u[4] * len(_HAIR))] * tint,
        shirt=_cloth(u[5], u[6], u[7]),
        trousers=_cloth(u[8], 0.7 * u[9], 0.75 * u[10]),
        shoes=_cloth(u[11], 0.5 * u[12], u[13]),
        stripe=_cloth(u[14], u[15], u[16]),
        build=0.95 + 0.35 * u[17],
        sleeve=_SLEEVES[int(u[18] * len(_SLEEVES))],
        shorts=u[19] < 0.3,
        long_hair=u[20] < 0.35,
        striped=u[21] < 0.3,
    )
