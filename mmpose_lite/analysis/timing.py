"""Wall-clock time of several callables, measured so that they can be compared.

A machine's speed drifts while it measures, so what is to be compared runs in turns: a
round calls everything once, each round in another order, and a ratio is taken within
each round before anything is summarised.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch

# Calls done, calls in all, seconds left.
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Spread:
    """Where the middle half of some figures lies.

    Attributes:
        median: Half of the figures are not above it.
        low: Lower quartile.
        high: Upper quartile.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: list[float]) -> Spread:
        """Median and quartiles of at least one figure."""
        if len(figures) == 1:
            return cls(*figures * 3)
        low, median, high = statistics.quantiles(figures, n=4, method='inclusive')
        return cls(median, low, high)


@dataclass(frozen=True)
class Timing:
    """Time of one callable.

    Attributes:
        seconds: Number of the round to seconds of its one call.
    """

    seconds: Mapping[int, float]

    @property
    def spread(self) -> Spread:
        """Median and quartiles over the rounds, seconds."""
        return Spread.of(list(self.seconds.values()))

    def over(self, other: Timing) -> Spread:
        """How many times as long as ``other`` this takes, round by round.

        Raises:
            ValueError: If they have no round in common.
        """
        shared = [n for n in self.seconds if n in other.seconds]
        if not shared:
            raise ValueError('other must have a round in common, has none')
        return Spread.of([self.seconds[n] / other.seconds[n] for n in shared])


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Threads of torch, restored afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _at_least_one(name: str, number: int) -> None:
    if number < 1:
        raise ValueError(f'{name} must be at least 1, got {number}')


def _schedule(
    names: list[str], rounds: int, warmup: int, every: Mapping[str, int]
) -> list[tuple[int, str]]:
    """Number of the round, -1 for warm-up, and name of every call in order."""
    order = [(-1, name) for _ in range(warmup) for name in names]
    for number in range(rounds):
        passes, first = divmod(number, len(names))
        turn = names[first:] + names[:first]
        if passes % 2:
            turn.reverse()
        order += [(number, name) for name in turn if number % every[name] == 0]
    return order


def interleave(
    measures: Mapping[str, Callable[[], float]],
    rounds: int = 15,
    warmup: int = 2,
    every: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> dict[str, Timing]:
    """Collect what measures itself, such as work in other processes, in turns.

    A round begins with the measure that came second in the one before; once all have
    been first, the direction changes. So none keeps its place or its predecessor.

    Args:
        measures: Name to a callable that does its work and returns its seconds.
        rounds: Rounds that count.
        warmup: Calls of each before them, which do not count; at least one, as the
            first call of a network allocates and selects kernels.
        every: What runs in every k-th round only, as it takes long.
        progress: Called after each call with calls done, calls in all (warm-up
            included) and seconds left, as far as known.

    Returns:
        Name to timing, in the order of ``measures``.

    Raises:
        ValueError: If there is nothing to time, ``every`` names something else, or a
            number is below 1.
    """
    every = dict.fromkeys(measures, 1) | dict(every or {})
    if not measures or set(every) != set(measures):
        raise ValueError(
            'there must be something to time and nothing else in every, got '
            f'{list(measures)} and {sorted(set(every) - set(measures))}'
        )
    numbers = dict(rounds=rounds, warmup=warmup, every=min(every.values()))
    for name, number in numbers.items():
        _at_least_one(name, number)
    schedule = _schedule(list(measures), rounds, warmup, every)
    taken: dict[str, dict[int, float]] = {name: {} for name in measures}
    last: dict[str, float] = {}
    left = Counter(name for _, name in schedule)
    for done, (number, name) in enumerate(schedule, 1):
        last[name] = measures[name]()
        left[name] -= 1
        if number >= 0:
            taken[name][number] = last[name]
        if progress is not None:
            rest = sum(left[n] * last.get(n, last[name]) for n in measures)
            progress(done, len(schedule), rest)
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
    that matters, give each a process: :class:`Isolated` with :func:`interleave`.

    Args:
        calls: Name to callable without arguments.
        rounds: As of :func:`interleave`, like ``warmup``, ``every`` and ``progress``.
        warmup: See there.
        every: See there.
        threads: Threads that torch may use; restored afterwards.
        progress: See there.
        clock: Seconds since any point in time.

    Raises:
        ValueError: As of :func:`interleave`, and if ``threads`` is below 1.
    """
    _at_least_one('threads', threads)
    measures = {name: partial(stopwatch, call, clock) for name, call in calls.items()}
    with torch.inference_mode(), _threads(threads):
        return interleave(measures, rounds, warmup, every, progress)
