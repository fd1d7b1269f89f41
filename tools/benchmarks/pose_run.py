"""Run the benchmark: prepare everybody, then time them in turns."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mmpose_lite.analysis import Isolated, interleave
from mmpose_lite.deploy import rewrites

from .contestants import AS_IS, STRAIGHTFORWARD, Contestant, published
from .engines import cpu_model
from .pose_engines import PRECISIONS, Entry, Runner, Setting, Workshop, difference
from .pose_results import Results, Row

# In f32 outputs may differ by this from PyTorch's, relative to the largest.
TOLERANCE = 1e-3
# Seconds; longer calls are made in every SELDOM-th round only.
SLOW, SELDOM = 0.5, 5
PACKAGES = (
    'mmpose_lite', 'torch', 'mmpose', 'mmcv', 'mmengine', 'numpy', 'onnx',
    'onnxruntime', 'openvino',
)  # fmt: skip
# What is being done, steps done, steps in all, seconds left.
Report = Callable[[str, int, int, float], None]
Failure = (RuntimeError, OSError, EOFError)


@dataclass(frozen=True)
class Plan:
    """What to measure, and how.

    Attributes:
        contestants: Who takes part.
        engines: What runs them.
        precisions: What engines compute in; each offers some of them.
        batches: Images at a time.
        baseline: Name of the contestant that others are compared with.
        setting: What all rows have in common.
        rounds: Rounds that count.
        warmup: Turns of each before them.
        group: Processes at a time, each with an engine and a network in memory; the
            baseline takes part in every group.
        steps: Time each rewrite of ours instead of the optimized form.
    """

    contestants: tuple[Contestant, ...]
    engines: tuple[str, ...]
    precisions: tuple[str, ...]
    batches: tuple[int, ...]
    baseline: str
    setting: Setting = field(default_factory=Setting)
    rounds: int = 30
    warmup: int = 2
    group: int = 48
    steps: bool = False

    def __post_init__(self) -> None:
        for name in ('rounds', 'warmup', 'group'):
            if getattr(self, name) < 1:
                raise ValueError(
                    f'{name} must be at least 1, got {getattr(self, name)}'
                )
        if not self.batches or min(*self.batches, self.setting.threads) < 1:
            raise ValueError(
                'batch and threads must be at least 1, got '
                f'{self.batches} and {self.setting.threads}'
            )
        names = [c.name for c in self.contestants]
        if self.baseline not in names:
            raise ValueError(
                f'baseline must take part, one of {names}, got {self.baseline!r}'
            )
        self._check_engines()

    def _check_engines(self) -> None:
        known = PRECISIONS[self.setting.device]
        for engine in self.engines:
            if engine not in known:
                raise ValueError(
                    f'engine must be one of {list(known)} on {self.setting.device}, '
                    f'got {engine!r}'
                )
        offered = {p for engine in self.engines for p in known[engine]}
        for precision in self.precisions:
            if precision not in offered:
                raise ValueError(
                    f'precision must be one of {sorted(offered)} with engines '
                    f'{list(self.engines)}, got {precision!r}'
                )

    def forms(self, contestant: Contestant, engine: str) -> tuple[str, ...]:
        """What of a contestant an engine runs."""
        inside_torch = not exported(engine)
        if self.steps and contestant.ours:
            target = 'eager' if inside_torch else 'graph'
            return (AS_IS, *rewrites(target=target))
        # Nothing is exported for PyTorch: there the two are one.
        return tuple(
            form
            for form in contestant.forms
            if not (inside_torch and form == STRAIGHTFORWARD)
        )

    def entries(self, batch: int) -> list[Entry]:
        """All rows of one batch size."""
        offered = PRECISIONS[self.setting.device]
        return [
            Entry(contestant.name, form, engine, precision, batch)
            for contestant in self.contestants
            for engine in self.engines
            for precision in self.precisions
            if precision in offered[engine]
            for form in self.forms(contestant, engine)
        ]


def exported(engine: str) -> bool:
    """Whether an engine takes exported networks."""
    return engine in ('onnxruntime', 'openvino')


def groups(entries: Sequence[Entry], baseline: str, size: int) -> list[list[Entry]]:
    """Rows that are timed together: contestants as a whole, each with the baseline.

    Args:
        entries: All rows.
        baseline: Name of a contestant whose rows are in every group.
        size: Rows of a group; more only if one contestant with the baseline has more.
    """
    common = [e for e in entries if e.contestant == baseline]
    others: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.contestant != baseline:
            others.setdefault(entry.contestant, []).append(entry)
    found = [list(common)]
    for rows in others.values():
        if len(found[-1]) > len(common) and len(found[-1]) + len(rows) > size:
            found.append(list(common))
        found[-1] += rows
    return found


def describe(plan: Plan) -> dict:
    """Header of the results."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    height, width = plan.setting.image_size
    return dict(
        date=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        cpu=cpu_model(),
        cores=os.cpu_count(),
        device=plan.setting.device,
        threads=plan.setting.threads,
        image_size=[height, width],
        rounds=plan.rounds,
        warmup=plan.warmup,
        group=plan.group,
        clock=plan.setting.clock,
        load_average=round(os.getloadavg()[0], 2),
        versions=versions,
    )


def begin(plan: Plan) -> Results:
    """Results with nothing measured yet."""
    contestants = {}
    for one in plan.contestants:
        ap, source = published(one) or (None, None)
        contestants[one.name] = dict(
            title=one.title, ours=one.ours, ap=ap, source=source
        )
    return Results(describe(plan), plan.baseline, contestants)


def run(plan: Plan, report: Report, save: Callable[[Results], None]) -> Results:
    """Measure everything.

    Args:
        plan: What.
        report: Told of every step.
        save: Given the results so far after every group.

    Returns:
        The results. What failed is in them with its reason; the rest went on.
    """
    results = begin(plan)
    with TemporaryDirectory() as folder:
        kit = Kit(plan, Path(folder), results)
        kit.prepare(report)
        save(results)
        number = 0
        for batch in plan.batches:
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
        self.faults: dict[tuple[str, str, int], str] = {}

    def ready(self, batch: int) -> set[str]:
        """Names of those whose reference outputs are known."""
        return {name for name, size in self.references if size == batch}

    def path(self, entry: Entry) -> Path | None:
        """Where an exported network lies; None if the engine takes none."""
        if not exported(entry.engine):
            return None
        form = entry.form.replace(' ', '-')
        return self.folder / f'{entry.contestant}_{form}_{entry.batch}.onnx'

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
        with Isolated(Workshop, contestant, plan.setting, method='fork') as shop:
            self.results.costs[name] = shop.ask('costs', contestant.forms)
            for batch in plan.batches:
                self.references[name, batch] = shop.ask('reference', batch)
                wanted = [e for e in plan.entries(batch) if e.contestant == name]
                paths = {(e.form, self.path(e)) for e in wanted}
                for form, path in sorted((f, p) for f, p in paths if p is not None):
                    try:
                        shop.ask('export', form, batch, path)
                    except Failure as error:
                        self.faults[name, form, batch] = last_line(error)

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
        fault = self.faults.get((entry.contestant, entry.form, entry.batch))
        path = self.path(entry)
        if fault is not None and path is not None:
            raise RuntimeError(f'not exported: {fault}')
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
