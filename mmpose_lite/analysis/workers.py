"""Subprocess workers: what is measured has a process, and so a heap, of its own.

A C library keeps or returns freed memory depending on all that a process has allocated
before. A network that makes large tensors may get fresh pages from the kernel at each
call, which can take as long as its arithmetic, or none, if an earlier network has made
the heap grow. In a process of its own it is timed as it would run alone.
"""

from __future__ import annotations

import multiprocessing
import random
import statistics
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

from .timing import Timing, schedule, steps, stopwatch

# Turns that do not count, before the rounds.
WARMUP = 2
# Seconds; before shorter turns the caches are filled again, as other processes ran.
SHORT = 0.03
# Each call of a turn is made so many times, unless all take longer than these seconds.
CALLS, TURN = 3, 0.06
# Seconds; longer calls are made in every SELDOM-th round only.
SLOW, SELDOM = 0.5, 5
FAILURES = (RuntimeError, OSError, EOFError)

Progress = Callable[[str, int, int, float], None]
"""What is being done, steps done, steps in all, seconds left."""


class Isolated:
    """Subprocess worker: an object that another process builds and runs.

    Args:
        build: Makes the object; together with ``args`` it must be picklable, unless
            the process is forked.
        method: How the process starts. ``'spawn'`` imports everything again;
            ``'fork'`` is quick, but safe only where no other thread runs.

    Raises:
        RuntimeError: If ``build`` fails, with its traceback.
    """

    def __init__(
        self, build: Callable[..., object], *args: Any, method: str = 'spawn'
    ) -> None:
        context: Any = multiprocessing.get_context(method)
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._pipe, build, args), daemon=True
        )
        self._process.start()
        theirs.close()
        self._answer()

    def ask(self, name: str, *args: Any) -> Any:
        """Result of a method; RuntimeError, with its traceback, if it fails."""
        self._pipe.send((name, args))
        return self._answer()

    def _answer(self) -> Any:
        try:
            good, answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            raise RuntimeError(f'the process ended by itself, code {code}') from None
        if not good:
            raise RuntimeError(f'in the process:\n{answer}')
        return answer

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.is_alive():
            self._pipe.send(None)
        self._process.join()
        self._pipe.close()


def _serve(
    pipe: Connection, other_end: Connection, build: Callable[..., object], args: tuple
) -> None:
    """Build, report it, then answer until None comes or the other end is closed."""
    # Else the pipe would not end with the process that asks.
    other_end.close()
    with suppress(EOFError):
        try:
            made = build(*args)
            pipe.send((True, None))
        except Exception:
            pipe.send((False, traceback.format_exc()))
            return
        while (question := pipe.recv()) is not None:
            name, given = question
            try:
                pipe.send((True, getattr(made, name)(*given)))
            except Exception:
                pipe.send((False, traceback.format_exc()))


def in_subprocess(function: Callable[..., Any], *args: Any) -> Any:
    """Result of a function in a forked process, which then ends."""
    with Isolated(partial, function, *args, method='fork') as worker:
        return worker.ask('__call__')


class Bench:
    """Calls without arguments that one process times."""

    def __init__(self, calls: Sequence[Callable[[], object]]) -> None:
        self.calls = calls
        self.order = random.Random(0)
        self.last = 0.0

    def turn(self) -> list[float]:
        """Seconds of one call of each, the median of a few, in a random order."""
        order = list(range(len(self.calls)))
        self.order.shuffle(order)
        if self.last < SHORT:
            self.calls[order[-1]]()
        taken: list[list[float]] = []
        while len(taken) < CALLS and sum(map(sum, taken)) < TURN:
            found = {index: stopwatch(self.calls[index]) for index in order}
            taken.append([found[index] for index in sorted(found)])
        self.last = sum(taken[-1])
        return [statistics.median(column) for column in zip(*taken, strict=True)]

    def facts(self) -> dict[str, Any]:
        """What else is known after the last turn."""
        return {}


@dataclass
class Outcome:
    """Times of a bench's calls and its facts, or the error for which there are none."""

    timings: list[Timing] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


def time_benches(
    builds: Sequence[Callable[[], Bench]], rounds: int, progress: Progress, title: str
) -> list[Outcome]:
    """Time calls in turns, each bench in a forked process; no other thread may run.

    Args:
        builds: Make the benches, in their processes. One that fails has an outcome that
            says why, and the others go on.
        rounds: Turns of each that count; of slow benches every fifth is taken.
    """
    outcomes = [Outcome() for _ in builds]
    workers: dict[int, Isolated] = {}
    every: dict[int, int] = {}
    seconds: dict[int, list[dict[int, float]]] = {}

    def ask(index: int, name: str) -> Any:
        if outcomes[index].error is None:
            try:
                return workers[index].ask(name)
            except FAILURES as error:
                outcomes[index].error = last_line(error)
        return None

    with ExitStack() as stack:
        starting = partial(progress, f'{title}: starting')
        for index in steps(range(len(builds)), starting):
            try:
                worker = Isolated(builds[index], method='fork')
            except FAILURES as error:
                outcomes[index].error = last_line(error)
                continue
            workers[index] = stack.enter_context(worker)
            if first := ask(index, 'turn'):
                every[index] = SELDOM if max(first) > SLOW else 1
                seconds[index] = [{} for _ in first]
        order = schedule(list(every), rounds, WARMUP, every) if every else []
        for number, index in steps(order, partial(progress, title)):
            found = ask(index, 'turn') or ()
            for taken, value in zip(seconds[index], found, strict=False):
                if number >= 0:
                    taken[number] = value
        for index, taken_all in seconds.items():
            facts = ask(index, 'facts')
            if outcomes[index].error is None:
                timings = [Timing(taken) for taken in taken_all]
                outcomes[index] = Outcome(timings, facts)
    return outcomes


def last_line(error: BaseException) -> str:
    """What went wrong, without the traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
