"""How far what two networks find is apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray


def relative_difference(found: Sequence[Any], reference: Sequence[Any]) -> float:
    """Largest difference of any output over the largest value of its reference.

    Args:
        found: Outputs, arrays or tensors.
        reference: What they are compared with, of the same kind.

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
        raise ValueError('outputs are not all finite')
    return max(differences)


@dataclass(frozen=True)
class Outputs:
    """What a network says about all people of some samples.

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
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Heatmaps, keypoints and scores."""
        return self.heatmaps, self.keypoints, self.scores

    @property
    def peaks(self) -> NDArray[np.intp]:
        """Where each map, or each of two vectors, is highest, ``(N, K, 1 or 2)``."""
        flat = self.heatmaps.reshape(*self.heatmaps.shape[:2], -1)
        parts = [flat] if self.split is None else np.split(flat, [self.split], 2)
        return np.stack([part.argmax(2) for part in parts], 2)


@dataclass(frozen=True)
class Tolerance:
    """Largest differences that an export may have.

    Attributes:
        heatmap: Of any heatmap value, over the largest value of all heatmaps.
        median: Of the keypoints' shifts, px of the image.
        p95: 95 of 100 keypoints shift less, px.
        max: No keypoint shifts more, px, but those that moved to another peak.
    """

    heatmap: float = float('inf')
    median: float = float('inf')
    p95: float = float('inf')
    max: float = float('inf')

    @classmethod
    def of(cls, precision: str, changes: Mapping[str, float]) -> Tolerance:
        """Defaults of a precision, some of them changed.

        Raises:
            ValueError: If ``changes`` names something else.
        """
        values = dict(TOLERANCES[precision])
        unknown = sorted(set(changes) - set(asdict(cls())))
        if unknown:
            raise ValueError(
                f'tolerances are {tuple(asdict(cls()))}, not {", ".join(unknown)}'
            )
        return cls(**{**values, **changes})


TOLERANCES: dict[str, dict[str, float]] = {
    'fp32': dict(heatmap=5e-4, median=0.01, p95=0.05, max=0.1),
    'fp16': dict(heatmap=0.01, median=0.05, p95=0.5),
}
"""Precision to its tolerances; what is not named may be anything."""


@dataclass(frozen=True)
class Difference:
    """Of two networks on the same people.

    Attributes:
        people: Crops compared.
        keypoints: Keypoints compared.
        heatmap: Largest difference of a heatmap value.
        relative: That over the largest value of the reference.
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
        """Compare two networks' outputs.

        Raises:
            ValueError: If any value is not finite: that would compare nothing.
        """
        for outputs in (reference, found):
            if not all(np.isfinite(v).all() for v in outputs.arrays):
                raise ValueError('a network returns values that are not finite')
        difference = float(np.abs(found.heatmaps - reference.heatmaps).max())
        shifts = shifts_of(found, reference)
        stays = _same_peak(found, reference)
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

    def figures(self) -> dict[str, float]:
        """All of it, as numbers by name."""
        return {name: float(value) for name, value in asdict(self).items()}

    def check(self, tolerance: Tolerance, name: str) -> None:
        """Make sure that all tolerances hold.

        Raises:
            ValueError: If not; the message gives the limits and ``name``, of the people
                that were compared.
        """
        exceeded = self.exceeded(tolerance)
        if exceeded:
            raise ValueError(
                f'the exported network differs too much on {name}: '
                f'{"; ".join(exceeded)}'
            )

    def exceeded(self, tolerance: Tolerance) -> list[str]:
        """A sentence for every tolerance that does not hold."""
        found = dict(asdict(self), heatmap=self.relative)
        return [
            f'{name} is {found[name]:.3g}, at most {limit:g} is tolerated'
            for name, limit in asdict(tolerance).items()
            if not found[name] <= limit
        ]


def shifts_of(found: Outputs, reference: Outputs) -> NDArray[np.float64]:
    """How far each keypoint lies from its reference, ``(N, K)`` px of the image."""
    return np.linalg.norm(found.keypoints - reference.keypoints, axis=2)


def _same_peak(found: Outputs, reference: Outputs) -> NDArray[np.bool_]:
    """Whether a heatmap's highest pixel, or both of vectors, is the same; ``(N, K)``.

    Where two pixels are nearly equally high, the slightest difference decides which is
    the higher: how far the keypoint jumps then says nothing about the network.
    """
    return (found.peaks == reference.peaks).all(2)
