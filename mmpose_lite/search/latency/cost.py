"""Milliseconds of searching blocks on one machine, from a table measured there.

The table comes from ``mmpose-lite latency``. Where a network's operators are small,
starting them takes most of the time and MACs say little; there a kernel size costs
nearly as much with half its channels, and nothing only without any.
"""

from __future__ import annotations

import json
import math
import os
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...models.backbones.hrnas_arch import Place, SearchSpace, resolve_space
from ..costs import CostModel
from .table import TABLE_TYPE, TOKENS, SizedCosts, round_up

COMMAND = 'mmpose-lite latency'
# What a network has beside its blocks depends on these alone.
_FRAME = ('num_blocks', 'channels', 'stem_channels', 'head_channels')


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
        """Cost from the file of a table.

        Raises:
            ValueError: See the class; also if the file is no JSON or missing.
        """
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
        counts = [math.prod(size) for size in ordered]
        right = bisect_left(counts, pixels)
        if right < len(counts) and counts[right] == pixels:
            return sizes[ordered[right]]
        if right in (0, len(counts)):
            height, width = self.image_size
            names = [f'{height}x{width}' for height, width in ordered]
            raise ValueError(
                f'image_size must be one of {self.source}, or have a number of pixels '
                f'between two of them, got {height}x{width} and measured {names}; run '
                f'{COMMAND} --input-size {height} {width}'
            )
        small, large = (sizes[ordered[index]] for index in (right - 1, right))
        share = (pixels - counts[right - 1]) / (counts[right] - counts[right - 1])
        return small.towards(large, share)

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
