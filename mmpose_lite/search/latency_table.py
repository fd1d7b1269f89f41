"""A table of what was measured of searching blocks, and the curves through it."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..models.backbones.hrnas_arch import Place, SearchSpace

TABLE_TYPE = 'mmpose_lite.LatencyTable'


def round_up(count: int, multiple: int, widest: int) -> int:
    """The next multiple, but no more than the widest there is; 0 stays 0."""
    return min(-(-count // multiple) * multiple, widest)


def rising(values: Iterable[float]) -> list[float]:
    """The closest sequence, in least squares, that starts at 0 or more and never falls.

    Neighbours that fall are replaced by their mean until none do.
    """
    pools: list[tuple[float, int]] = []
    for value in values:
        mean, size = value, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean = (before * count + mean * size) / (count + size)
            size += count
        pools.append((mean, size))
    return [max(mean, 0.0) for mean, size in pools for _ in range(size)]


@dataclass(frozen=True)
class Curve:
    """Milliseconds of something against its width, never falling.

    Nothing costs nothing; up to the first measured width the cost is that of starting
    the operators; between measured widths it is interpolated.

    Attributes:
        counts: Measured widths, rising.
        ms: Milliseconds at each.
    """

    counts: tuple[int, ...]
    ms: tuple[float, ...]

    @classmethod
    def of(cls, stored: Mapping[str, Sequence[float]], scale: float) -> Curve:
        """Curve through measured points, noise that makes it fall smoothed away.

        Raises:
            ValueError: If the points are none, or their widths do not rise.
        """
        counts, ms = stored['counts'], stored['ms']
        ordered = sorted({int(n) for n in counts if n > 0})
        if not ordered or ordered != list(counts) or len(ms) != len(counts):
            raise ValueError(
                'a curve needs rising positive counts with a time each, got '
                f'{list(counts)} and {list(ms)}'
            )
        return cls(tuple(ordered), tuple(scale * value for value in rising(ms)))

    def __call__(self, count: int) -> float:
        """Milliseconds at a width of 0 up to the widest that was measured.

        Raises:
            ValueError: If ``count`` is out of this range.
        """
        if not 0 <= count <= self.counts[-1]:
            raise ValueError(f'must be from 0 to {self.counts[-1]}, got {count}')
        if count == 0:
            return 0.0
        right = bisect_left(self.counts, count)
        if right == 0:
            return self.ms[0]
        left = right - 1
        share = (count - self.counts[left]) / (self.counts[right] - self.counts[left])
        return self.ms[left] + share * (self.ms[right] - self.ms[left])

    def towards(self, other: Curve, share: float) -> Curve:
        """Curve between this and another with the same counts."""
        pairs = zip(self.ms, other.ms, strict=True)
        return Curve(self.counts, tuple(a + share * (b - a) for a, b in pairs))


@dataclass(frozen=True)
class PlaceCosts:
    """What the parts of a block cost at one place.

    Attributes:
        shortcut: Milliseconds of a block that has nothing left.
        ops: Side of the depthwise kernels to their cost.
        tokens: Cost of a transformer; None if none was measured.
    """

    shortcut: float
    ops: Mapping[int, Curve]
    tokens: Curve | None

    @classmethod
    def of(cls, stored: Mapping[str, Any], scale: float) -> PlaceCosts:
        """Costs as a table stores them, blocks' insides times ``scale``."""
        tokens = stored['tokens']
        return cls(
            float(stored['shortcut']),
            {int(k): Curve.of(curve, scale) for k, curve in stored['ops'].items()},
            None if tokens is None else Curve.of(tokens, scale),
        )

    def towards(self, other: PlaceCosts, share: float) -> PlaceCosts:
        """Costs between these and others of the same kernel sizes and widths."""
        tokens = None
        if self.tokens is not None and other.tokens is not None:
            tokens = self.tokens.towards(other.tokens, share)
        return PlaceCosts(
            self.shortcut + share * (other.shortcut - self.shortcut),
            {k: op.towards(other.ops[k], share) for k, op in self.ops.items()},
            tokens,
        )


@dataclass(frozen=True)
class SizedCosts:
    """All costs at one image size.

    Attributes:
        stem: Milliseconds of all that is no block: stem, sums and up-sampling.
        places: Costs of every block.
    """

    stem: float
    places: Mapping[Place, PlaceCosts]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> SizedCosts:
        """Costs as a table stores them."""
        scale = float(stored['scale'])
        return cls(
            float(stored['stem']),
            {
                Place(**row['place']): PlaceCosts.of(row, scale)
                for row in stored['places']
            },
        )

    def towards(self, other: SizedCosts, share: float) -> SizedCosts:
        """Costs between these and others of the same places."""
        return SizedCosts(
            self.stem + share * (other.stem - self.stem),
            {
                place: costs.towards(other.places[place], share)
                for place, costs in self.places.items()
            },
        )


def make_table(
    header: Mapping[str, Any], space: SearchSpace, sizes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Table ready for JSON.

    Args:
        header: What is known about the measurement; ``engine`` at least.
        space: The space that was measured.
        sizes: Per image size ``image_size`` (H, W), ``stem`` in ms, ``scale`` of all
            but stem and shortcuts, and ``places``: per place ``place``, ``shortcut`` in
            ms, ``ops`` (kernel to ``counts`` and ``ms``) and ``tokens`` (the same or
            None).
    """
    table = dict(
        type=TABLE_TYPE, header={**header, 'space': asdict(space)}, sizes=list(sizes)
    )
    return json.loads(json.dumps(table))


def place_entry(
    place: Place,
    shortcut: float,
    ops: Mapping[int, Mapping[int, float]],
    tokens: Mapping[int, float] | None,
) -> dict[str, Any]:
    """Entry of ``places`` in :func:`make_table`, from width-to-milliseconds maps."""
    return dict(
        place=asdict(place),
        shortcut=shortcut,
        ops={str(kernel): _points(points) for kernel, points in ops.items()},
        tokens=_points(tokens) if tokens else None,
    )


def _points(points: Mapping[int, float]) -> dict[str, list]:
    counts = sorted(points)
    return dict(counts=counts, ms=[round(points[n], 6) for n in counts])
