"""Distances of what two networks find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray


def relative_difference(found: Sequence[Any], reference: Sequence[Any]) -> float:
    """Largest difference of any output, array or tensor, over its reference's largest.

    Raises:
        ValueError: If number or shapes of outputs differ, or a value is not finite.
    """
    shapes, wanted = ([tuple(a.shape) for a in part] for part in (found, reference))
    if shapes != wanted:
        raise ValueError(f'outputs have shapes {shapes}, expected {wanted}')
    differences = [
        float(abs(a - b).max()) / max(float(abs(b).max()), 1e-300)
        for a, b in zip(found, reference, strict=True)
    ]
    if not all(map(isfinite, differences)):
        raise ValueError('some outputs are not finite')
    return max(differences)


@dataclass(frozen=True)
class Outputs:
    """What a network finds for all people of some samples.

    Attributes:
        heatmaps: ``(N, K, h, w)``, or ``(N, K, Wx + Wy)`` of vectors, x first.
        keypoints: ``(N, K, 2)``, px of the image.
        scores: ``(N, K)``.
        split: Length Wx of vectors along x; None if heatmaps are maps.
    """

    heatmaps: NDArray[np.float32]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float32]
    split: int | None = None

    @property
    def peaks(self) -> NDArray[np.intp]:
        """Where each map, or each of two vectors, is highest, ``(N, K, 1 or 2)``."""
        flat = self.heatmaps.reshape(*self.heatmaps.shape[:2], -1)
        parts = [flat] if self.split is None else np.split(flat, [self.split], 2)
        return np.stack([part.argmax(2) for part in parts], 2)


TOLERANCES: dict[str, dict[str, float]] = {
    'fp32': dict(heatmap=5e-4, median=0.01, p95=0.05, max=0.1),
    'fp16': dict(heatmap=0.01, median=0.05, p95=0.5),
}
"""Precision to the largest differences of an export; what is not named may be any.

``heatmap`` is that of any heatmap value, over the largest value of all; the others are
keypoints' shifts in px of the image, see :class:`Difference`.
"""


def tolerances(precision: str, changes: Mapping[str, float]) -> dict[str, float]:
    """Tolerances with changes; ValueError for unknown names or negative values."""
    names = tuple(TOLERANCES['fp32'])
    unknown = sorted(set(changes) - set(names))
    if unknown:
        raise ValueError(f'tolerances are {names}, not {", ".join(unknown)}')
    for name, limit in changes.items():
        if not 0 <= limit < np.inf:
            raise ValueError(f'tolerance {name} must be at least 0, got {limit}')
    return {**TOLERANCES[precision], **changes}


@dataclass(frozen=True)
class Difference:
    """Distance of what two networks find for so many people and keypoints.

    Attributes:
        heatmap: Largest difference of a heatmap value; ``relative`` is that over the
            largest value of the reference.
        median: Of the keypoints' shifts, px of the image.
        p95: 95 of 100 keypoints shift less, px.
        max: Largest shift, px, but for those that moved to another peak.
        moved: Keypoints whose peak is another pixel of the heatmap, which is nearly as
            high in the reference; they count for ``median`` and ``p95``.
    """

    people: int
    keypoints: int
    heatmap: float
    relative: float
    median: float
    p95: float
    max: float
    moved: int

    @classmethod
    def between(cls, found: Outputs, reference: Outputs) -> Difference:
        """Difference of outputs; ValueError if a value is not finite."""
        for one in (reference, found):
            values = (one.heatmaps, one.keypoints, one.scores)
            if not all(np.isfinite(value).all() for value in values):
                raise ValueError('a network returns values that are not finite')
        difference = float(np.abs(found.heatmaps - reference.heatmaps).max())
        shifts = shifts_of(found, reference)
        # Where two pixels are nearly equally high, the slightest difference decides
        # which is the higher: how far the keypoint jumps then says nothing.
        stays = (found.peaks == reference.peaks).all(2)
        return cls(
            people=len(shifts),
            keypoints=shifts.size,
            heatmap=difference,
            relative=difference / (float(np.abs(reference.heatmaps).max()) or 1.0),
            median=float(np.median(shifts)),
            p95=float(np.percentile(shifts, 95)),
            max=float(shifts[stays].max(initial=0)),
            moved=int((~stays).sum()),
        )

    def exceeded(self, limits: Mapping[str, float]) -> list[str]:
        """A sentence for every one of :func:`tolerances` that does not hold."""
        found = dict(asdict(self), heatmap=self.relative)
        return [
            f'{name} is {found[name]:.3g}, at most {limit:g} is tolerated'
            for name, limit in limits.items()
            if not found[name] <= limit
        ]


def shifts_of(found: Outputs, reference: Outputs) -> NDArray[np.float64]:
    """How far each keypoint lies from its reference, ``(N, K)`` px of the image."""
    return np.linalg.norm(found.keypoints - reference.keypoints, axis=2)
