"""Run the benchmark: prepare everybody, then time them in turns."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mmpose_lite.analysis import Isolated, interleave

from .contestants import AP_SIZE, AS_IS, STRAIGHTFORWARD, Contestant, published
from .pose_engines import Runner, Workshop, difference
from .pose_plan import FORMATS, Entry, Plan, describe, exported, groups, target_of
from .pose_prepared import Costing, References, find, keep, place
from .pose_results import Results, Row

# In f32 outputs may differ by this from PyTorch's, relative to the largest.
TOLERANCE = 1e-3
# Seconds; longer calls are made in every SELDOM-th round only.
SLOW, SELDOM = 0.5, 5
# What is being done, steps done, steps in all, seconds left.
Report = Callable[[str, int, int, float], None]
Failure = (RuntimeError, OSError, EOFError)


def begin(plan: Plan) -> Results:
    """Results with nothing measured yet."""
    contestants = {}
    for one in plan.contestants:
        known = published(one) if plan.setting.image_size == AP_SIZE else None
        ap, source = known or (None, None)
        contestants[one.name] = dict(
            title=one.title, ours=one.ours, ap=ap, source=source
        )
    return Results(describe(plan), plan.baseline, contestants)


def run(
    plan: Plan,
    report: Report,
    save: Callable[[Results], None],
    kept: Path | None = None,
    timed: bool = True,
) -> Results:
    """Measure everything.

    Args:
        plan: What.
        report: Told of every step.
        save: Given the results so far after every group.
        kept: Folder where counted and exported networks are kept for another run.
        timed: Whether to go on when all are prepared.

    Returns:
        The results. What failed is in them with its reason; the rest went on.
    """
    results = begin(plan)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) if kept is None else place(kept, plan)
        folder.mkdir(parents=True, exist_ok=True)
        kit = Kit(plan, folder, results)
        kit.prepare(report)
        save(results)
        number = 0
        for batch in plan.batches if timed else ():
            names = kit.ready(batch)
            entries = [e for e in plan.entries(batch) if e.contestant in names]
            for part in groups(entries, plan.baseline, plan.group):
                title = f'batch {batch}, group {number + 1}'
                kit.time_group(part, number, partial(report, title))
                number += 1
                save(results)
    return results


class Kit:
    """Exported networks and reference outputs, and what is done with them.

    Args:
        plan: What to measure.
        folder: Where exported networks lie.
        results: What is measured goes in here.
    """

    def __init__(self, plan: Plan, folder: Path, results: Results) -> None:
        self.plan = plan
        self.folder = folder
        self.results = results
        self.known = {c.name: c for c in plan.contestants}
        self.references: dict[tuple[str, int], list[np.ndarray]] = {}
        self.faults: dict[Path, str] = {}

    def ready(self, batch: int) -> set[str]:
        """Names of those whose reference outputs are known."""
        return {name for name, size in self.references if size == batch}

    def path(self, entry: Entry) -> Path | None:
        """Where an exported network lies; None if the engine takes none."""
        if not exported(entry.engine):
            return None
        form, suffix = entry.form.replace(' ', '-'), FORMATS[entry.engine]
        if entry.form not in (AS_IS, STRAIGHTFORWARD):
            form += f'_{target_of(entry.engine)}'
        return self.folder / f'{entry.contestant}_{form}_{entry.batch}{suffix}'

    def prepare(self, report: Report) -> None:
        """Count, export and run everybody once, one after the other."""
        begun, total = time.monotonic(), len(self.known)
        for done, (name, contestant) in enumerate(self.known.items()):
            left = (time.monotonic() - begun) / done * (total - done) if done else 0.0
            report(f'preparing {name}', done, total, left)
            try:
                self._prepare(contestant)
            except Failure as error:
                self.results.errors[name] = last_line(error)
        report('prepared', total, total, 0.0)

    def _prepare(self, contestant: Contestant) -> None:
        plan, name = self.plan, contestant.name
        paths = {
            path: (e.form, target_of(e.engine), batch)
            for batch in plan.batches
            for e in plan.entries(batch)
            if e.contestant == name and (path := self.path(e)) is not None
        }
        kept = find(self.folder, name, plan.batches)
        if kept is None or not all(path.is_file() for path in paths):
            kept = self._make(contestant, paths)
            keep(self.folder, name, *kept)
        self.results.costs[name], references = kept
        for batch, outputs in references.items():
            self.references[name, batch] = outputs

    def _make(
        self, contestant: Contestant, paths: dict[Path, tuple[str, str, int]]
    ) -> tuple[Costing, References]:
        """Count, run and export a network."""
        with Isolated(Workshop, contestant, self.plan.setting, method='fork') as shop:
            costs = shop.ask('costs', contestant.forms)
            references = {b: shop.ask('reference', b) for b in self.plan.batches}
            for path, export in paths.items():
                if path.is_file():
                    continue
                try:
                    shop.ask('export', *export, path)
                except Failure as error:
                    self.faults[path] = last_line(error)
        return costs, references

    def time_group(
        self, entries: Sequence[Entry], number: int, report: Callable
    ) -> None:
        """Time rows, each in a process of its own, in turns."""
        rows = [Row(entry, number) for entry in entries]
        self.results.rows += rows
        with ExitStack() as stack:
            runners: dict[str, Isolated] = {}
            every: dict[str, int] = {}
            begun = time.monotonic()
            for index, row in enumerate(rows):
                left = (time.monotonic() - begun) / max(index, 1) * (len(rows) - index)
                report(index, len(rows), left)
                try:
                    runner = stack.enter_context(self._start(row))
                    self._check(row, runner)
                    slow = runner.ask('turn') > SLOW
                except Failure as error:
                    row.error = last_line(error)
                    continue
                runners[str(index)] = runner
                every[str(index)] = SELDOM if slow else 1
            if runners:
                self._time(rows, runners, every, report)

    def _start(self, row: Row) -> Isolated:
        entry = row.entry
        path = self.path(entry)
        if path in self.faults:
            raise RuntimeError(f'not exported: {self.faults[path]}')
        contestant = self.known[entry.contestant]
        return Isolated(
            Runner, contestant, entry, self.plan.setting, path, method='fork'
        )

    def _check(self, row: Row, runner: Isolated) -> None:
        """Compare outputs with those of PyTorch as is."""
        entry = row.entry
        reference = self.references[entry.contestant, entry.batch]
        row.difference = difference(runner.ask('outputs'), reference)
        strict = entry.precision == 'f32' and not self.known[entry.contestant].choosy
        if strict and not row.difference <= TOLERANCE:
            raise RuntimeError(
                f'outputs differ from PyTorch by {row.difference:.2g} of the largest, '
                f'allowed is {TOLERANCE:g}'
            )

    def _time(
        self,
        rows: list[Row],
        runners: dict[str, Isolated],
        every: dict[str, int],
        report: Callable,
    ) -> None:
        begun = time.monotonic()

        def turn(key: str) -> float:
            row = rows[int(key)]
            if row.error is None:
                try:
                    return runners[key].ask('turn')
                except Failure as error:
                    row.error = last_line(error)
            return 0.0

        def advance(done: int, total: int, left: float) -> None:
            # A turn is several calls, so the clock knows better than their times.
            report(done, total, (time.monotonic() - begun) / done * (total - done))

        measures = {key: partial(turn, key) for key in runners}
        plan = self.plan
        timings = interleave(measures, plan.rounds, plan.warmup, every, advance)
        for key, timing in timings.items():
            row = rows[int(key)]
            if row.error is None:
                row.seconds = dict(timing.seconds)
                try:
                    row.megabytes = runners[key].ask('megabytes')
                except Failure as error:
                    row.error = last_line(error)


def last_line(error: BaseException) -> str:
    """What went wrong, without the traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
