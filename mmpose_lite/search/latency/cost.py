"""Milliseconds of searching blocks on one machine, from a table measured there.

The table comes from ``mmpose-lite latency``. Where a network's operators are small,
starting them takes most of the time and MACs say little; there a kernel size costs
nearly as much with half its channels, and nothing only without any.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from ...models.backbones.hrnas_arch import Place, SearchSpace, resolve_space
from ..costs import CostModel

TABLE_TYPE = 'mmpose_lite.LatencyTable'
# Stands for the transformer where kernel sizes do for convolutions.
TOKENS = 0
COMMAND = 'mmpose-lite latency'
# What a network has beside its blocks depends on these alone.
_FRAME = ('num_blocks', 'channels', 'stem_channels', 'head_channels')


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
        """Costs as a table stores them, noise that makes them fall smoothed away."""
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


class LatencyCost(CostModel):
    """Milliseconds of a network, the sum of what was measured of its parts.

    Between measured image sizes it interpolates over the number of pixels. The cost
    never falls when a network grows, though a machine may be faster at round widths.
    What the table does not hold raises a ``ValueError`` that says how to measure it.

    Args:
        engine: Engine that the table must be of; None takes any.
        source: What errors call the table.

    Attributes:
        header: Machine, engine, versions and settings of the measurement.
        multiple: Hidden widths cost as much as the next multiple of this, which is how
            they should be left: ONNX Runtime takes 2 to 7 times as long for a depthwise
            convolution whose width is no multiple of 4.

    Raises:
        ValueError: If ``table`` is no latency table, is one of another engine, or holds
            no sizes around ``image_size``.
    """

    unit = 'ms'

    def __init__(
        self,
        table: Mapping[str, Any],
        image_size: Sequence[int],
        *,
        engine: str | None = None,
        source: str = 'the latency table',
    ) -> None:
        super().__init__(image_size)
        if not isinstance(table, Mapping) or table.get('type') != TABLE_TYPE:
            raise ValueError(
                f'{source} is no latency table (type must be {TABLE_TYPE!r}); write '
                f'one with {COMMAND}'
            )
        self.source = source
        try:
            self.header: dict[str, Any] = dict(table['header'])
            self._space = resolve_space(self.header['space'])
            self._engine = str(self.header['engine'])
            self.multiple = int(self.header.get('multiple', 1))
            sizes = {
                tuple(row['image_size']): SizedCosts.of(row) for row in table['sizes']
            }
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{source} is a damaged latency table ({error!r}); write it again with '
                f'{COMMAND}'
            ) from error
        if engine is not None and engine != self._engine:
            raise ValueError(
                f'{source} was measured with engine {self._engine!r}, not {engine!r}; '
                f'run {COMMAND} --engine {engine}'
            )
        self._costs = self._at_size(sizes)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        image_size: Sequence[int],
        *,
        engine: str | None = None,
    ) -> LatencyCost:
        """Cost from a table's file; a missing one is a ``ValueError``, too."""
        name = os.fspath(path)
        try:
            with open(path, encoding='utf-8') as file:
                table = json.load(file)
        except FileNotFoundError as error:
            raise ValueError(
                f'there is no latency table {name}; write it with {COMMAND} --out '
                f'{name}'
            ) from error
        except ValueError as error:
            raise ValueError(f'{name} is no JSON: {error}') from error
        return cls(table, image_size, engine=engine, source=name)

    def stem(self, space: SearchSpace) -> float:
        """Stem, and what stands between the blocks."""
        own, asked = (
            {name: getattr(s, name) for name in _FRAME} for s in (self._space, space)
        )
        if own != asked:
            raise self._missing(
                f'was measured in another space: {own} instead of {asked}'
            )
        return self._costs.stem

    def shortcut(self, place: Place) -> float:
        """Identity with the constant of a dead block, or the grouped convolution."""
        if place not in self._costs.shortcuts:
            raise self._missing(f'has no {place}: it was measured in another space')
        return self._costs.shortcuts[place]

    def op(self, place: Place, kernel: int, channels: int) -> float:
        """Convolutions of one kernel size; 0 for no channels."""
        return self._look_up(place, kernel, channels)

    def transformer(self, place: Place, tokens: int) -> float:
        """A transformer; 0 for no tokens."""
        return self._look_up(place, TOKENS, tokens)

    def channel(self, place: Place, kernel: int, channels: int) -> float:
        """An equal share of what ``channels`` hidden channels cost together.

        The last one alone may cost nothing while all of them cost much, as starting the
        operators does. So a penalty has to charge each its share: the slope of the line
        from no channel to those that are left.
        """
        channels = max(channels, 1)
        return self.op(place, kernel, channels) / channels

    def token(self, place: Place, tokens: int, living: int) -> float:
        """An equal share of what ``living`` tokens cost together."""
        living = max(living, 1)
        return self.transformer(place, living) / living

    def _at_size(self, sizes: Mapping[tuple[int, ...], SizedCosts]) -> SizedCosts:
        """Costs at the image size, between those around it if it was not measured."""
        if self.image_size in sizes:
            return sizes[self.image_size]
        pixels = math.prod(self.image_size)
        ordered = sorted(sizes, key=math.prod)
        smaller = [size for size in ordered if math.prod(size) <= pixels]
        larger = [size for size in ordered if math.prod(size) >= pixels]
        if not smaller or not larger:
            height, width = self.image_size
            names = [f'{height}x{width}' for height, width in ordered]
            raise ValueError(
                f'image_size must be one of {self.source}, or have a number of pixels '
                f'between two of them, got {height}x{width} and measured {names}; run '
                f'{COMMAND} --input-size {height} {width}'
            )
        small, large = max(smaller, key=math.prod), larger[0]
        few, many = math.prod(small), math.prod(large)
        share = (pixels - few) / (many - few) if few < many else 0.0
        return sizes[small].towards(sizes[large], share)

    def _look_up(self, place: Place, part: int, count: int) -> float:
        """Milliseconds of so many channels of a kernel size, or of tokens."""
        if count == 0:
            return 0.0
        name = f'{part}x{part} kernel' if part else 'transformer'
        if (place, part) not in self._costs.curves:
            self.shortcut(place)
            kernels = sorted(k for p, k in self._costs.curves if p == place and k)
            raise self._missing(f'has no {name} at {place}, only {kernels}')
        counts, ms = self._costs.curves[place, part]
        if not 0 < count <= counts[-1]:
            raise self._missing(
                f'is too narrow: width of {name} at {place} must be from 0 to '
                f'{counts[-1]}, got {count}'
            )
        if part != TOKENS:
            count = round_up(count, self.multiple, counts[-1])
        return float(np.interp(count, counts, ms))

    def _missing(self, what: str) -> ValueError:
        """Error that says how to measure what the table does not hold."""
        name = self.header.get('space_name', 'NAME')
        return ValueError(
            f'{self.source} {what}; run {COMMAND} --engine {self._engine} with a '
            f'--space (and --transformer) that has it, not {name}'
        )
