"""Wall-clock time, measured so that figures can be compared, and where it was measured.

A machine's speed drifts while it measures, so what is to be compared runs in turns: a
round calls everything once, each round in another order, and a ratio is taken within
each round before anything is summarised.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch

T = TypeVar('T')
# Steps done, steps in all, seconds left.
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Spread:
    """Median of some figures, and their quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> Spread:
        """Spread of at least one figure."""
        figures = list(figures)
        if len(figures) == 1:
            return cls(*figures * 3)
        low, median, high = statistics.quantiles(figures, n=4, method='inclusive')
        return cls(median, low, high)


@dataclass(frozen=True)
class Timing:
    """Time of one callable: number of the round to ``seconds`` of its one call."""

    seconds: Mapping[int, float]

    @property
    def spread(self) -> Spread:
        """Spread over the rounds, seconds."""
        return Spread.of(self.seconds.values())

    def over(self, other: Timing) -> Spread:
        """How many times as long as ``other`` this takes, round by round.

        Raises:
            ValueError: If they have no round in common.
        """
        shared = [n for n in self.seconds if n in other.seconds]
        if not shared:
            raise ValueError('other must have a round in common, has none')
        return Spread.of(self.seconds[n] / other.seconds[n] for n in shared)


def steps(items: Sequence[T], progress: Progress | None = None) -> Iterator[T]:
    """Items, each with a report of the progress after it is done."""
    begun = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        if progress is not None:
            left = (time.monotonic() - begun) / done * (len(items) - done)
            progress(done, len(items), left)


def schedule(
    names: Sequence[T], rounds: int, warmup: int, every: Mapping[T, int]
) -> list[tuple[int, T]]:
    """Number of the round, -1 for warm-up, and name of every call in order.

    A round begins with the name that came second in the one before; once all have been
    first, the direction changes. So none keeps its place or its predecessor.
    """
    others = [name for name in every if name not in names]
    if not names or others:
        what = 'there must be something to time and nothing else in every'
        raise ValueError(f'{what}, got {list(names)} and {others}')
    _at_least_one(rounds=rounds, warmup=warmup, every=min(every.values(), default=1))
    order = [(-1, name) for _ in range(warmup) for name in names]
    for number in range(rounds):
        passes, first = divmod(number, len(names))
        turn = [*names[first:], *names[:first]]
        if passes % 2:
            turn.reverse()
        order += [(number, name) for name in turn if number % every.get(name, 1) == 0]
    return order


def _at_least_one(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f'{name} must be at least 1, got {number}')


def interleave(
    measures: Mapping[str, Callable[[], float]],
    rounds: int = 15,
    warmup: int = 2,
    every: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> dict[str, Timing]:
    """Collect what measures itself, such as work in other processes, in turns.

    Args:
        measures: Name to a callable that does its work and returns its seconds.
        warmup: Calls of each before them, which do not count; at least one, as the
            first call of a network allocates and selects kernels.
        every: What runs in every k-th round only, as it takes long.

    Returns:
        Name to timing, in the order of ``measures``.

    Raises:
        ValueError: If there is nothing to time, ``every`` names something else, or a
            number is below 1.
    """
    taken: dict[str, dict[int, float]] = {name: {} for name in measures}
    order = schedule(list(measures), rounds, warmup, every or {})
    for number, name in steps(order, progress):
        seconds = measures[name]()
        if number >= 0:
            taken[name][number] = seconds
    return {name: Timing(seconds) for name, seconds in taken.items()}


def stopwatch(
    call: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds that a call takes."""
    start = clock()
    call()
    return clock() - start


def time_interleaved(
    calls: Mapping[str, Callable[[], object]],
    rounds: int = 15,
    warmup: int = 2,
    every: Mapping[str, int] | None = None,
    threads: int = 1,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time callables of this process in turns, in inference mode.

    They share one heap, and how it has grown changes what large tensors cost; where
    that matters, give each a process with :class:`Isolated`. ``threads`` are torch's,
    restored afterwards; ``clock`` tells seconds; the rest is :func:`interleave`'s.
    """
    _at_least_one(threads=threads)
    measures = {name: partial(stopwatch, call, clock) for name, call in calls.items()}
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            return interleave(measures, rounds, warmup, every, progress)
    finally:
        torch.set_num_threads(before)


def cpu_model() -> str:
    """The processor's name."""
    info = Path('/proc/cpuinfo')
    text = info.read_text(encoding='utf-8') if info.is_file() else ''
    found = re.search(r'^model name\s*: (.*)$', text, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or 'unknown'


def need(engine: str, packages: Iterable[str]) -> None:
    """Raise ValueError, with what to install, if packages of an engine are missing."""
    if missing := [name for name in packages if not find_spec(name)]:
        raise ValueError(
            f'engine {engine} needs packages that are not installed; run: pip install '
            f'{" ".join(missing)}'
        )


def describe_machine(packages: Iterable[str]) -> dict[str, Any]:
    """Date, processor, load and versions of installed packages, ready for JSON."""
    versions = {'python': platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    date = datetime.now(timezone.utc).isoformat(timespec='seconds')
    load = round(os.getloadavg()[0], 2)
    about = dict(date=date, cpu=cpu_model(), cores=os.cpu_count(), load_average=load)
    return dict(about, versions=versions)
