"""A table of what was measured of searching blocks, and the curves through it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from ...models.backbones.hrnas_arch import Place, SearchSpace

TABLE_TYPE = 'mmpose_lite.LatencyTable'
# Stands for the transformer where kernel sizes do for convolutions.
TOKENS = 0


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


class SizedCosts(NamedTuple):
    """All costs at one image size, in milliseconds.

    Attributes:
        stem: Of all that is no block: stem, sums and up-sampling.
        shortcuts: Of every block that has nothing left.
        curves: Place of a block and kernel size, or ``TOKENS``, to measured widths and
            what each costs. The cost never falls; up to the first width it is that of
            starting the operators, between measured ones it is interpolated.
    """

    stem: float
    shortcuts: Mapping[Place, float]
    curves: Mapping[tuple[Place, int], tuple[Sequence[int], Sequence[float]]]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> SizedCosts:
        """Costs as a table stores them, noise that makes them fall smoothed away.

        Raises:
            ValueError: If there are no points, or their widths do not rise.
        """
        shortcuts, curves = {}, {}
        for row in stored['places']:
            place = Place(**row['place'])
            shortcuts[place] = float(row['shortcut'])
            parts = {int(kernel): points for kernel, points in row['ops'].items()}
            if row['tokens'] is not None:
                parts[TOKENS] = row['tokens']
            for part, points in parts.items():
                counts, ms = points['counts'], points['ms']
                ordered = sorted({int(n) for n in counts if n > 0})
                if not ordered or ordered != list(counts) or len(ms) != len(counts):
                    raise ValueError(
                        'a curve needs rising positive counts with a time each, got '
                        f'{counts} and {ms}'
                    )
                scaled = [float(stored['scale']) * value for value in rising(ms)]
                curves[place, part] = ordered, scaled
        return cls(float(stored['stem']), shortcuts, curves)

    def towards(self, other: SizedCosts, share: float) -> SizedCosts:
        """Costs between these, where ``share`` is 0, and others, where it is 1."""

        def mix(a: float, b: float) -> float:
            return a + share * (b - a)

        curves = {
            key: (counts, list(map(mix, ms, other.curves[key][1])))
            for key, (counts, ms) in self.curves.items()
        }
        shortcuts = {p: mix(ms, other.shortcuts[p]) for p, ms in self.shortcuts.items()}
        return SizedCosts(mix(self.stem, other.stem), shortcuts, curves)


def make_table(
    header: Mapping[str, Any], space: SearchSpace, sizes: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Table ready for JSON; the header names the ``engine`` at least.

    ``sizes`` hold per image size ``image_size`` (H, W), ``stem`` in ms, ``scale`` of
    all but stem and shortcuts, and ``places``, entries of :func:`place_entry`.
    """
    header = {**header, 'space': asdict(space)}
    return json.loads(json.dumps(dict(type=TABLE_TYPE, header=header, sizes=sizes)))


def place_entry(
    place: Place, shortcut: float, parts: Mapping[int, Mapping[int, float]]
) -> dict[str, Any]:
    """Entry of a place; ``parts`` are ms by kernel size, or ``TOKENS``, and width."""
    points = {}
    for part, measured in parts.items():
        counts = sorted(measured)
        points[part] = dict(counts=counts, ms=[round(measured[n], 6) for n in counts])
    tokens = points.pop(TOKENS, None)
    ops = {str(kernel): row for kernel, row in points.items()}
    return dict(place=asdict(place), shortcut=shortcut, ops=ops, tokens=tokens)
