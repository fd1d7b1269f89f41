"""Running the benchmark: everybody is prepared, then timed in turns."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..analysis import Isolated, describe_machine, interleave
from ..deploy import relative_difference
from .contestants import AP_SIZE, Contestant, published
from .plan import AS_IS, STRAIGHTFORWARD, Plan, Row, grouped
from .worker import Runner, Workshop

# In f32 outputs may differ by this from PyTorch's, relative to the largest.
TOLERANCE = 1e-3
# Seconds; longer calls are made in every SELDOM-th round only.
SLOW, SELDOM = 0.5, 5
# Processes at a time, each with an engine and a network in memory.
GROUP = 48
PACKAGES = (
    'mmpose_lite', 'torch', 'mmpose', 'mmcv', 'mmengine', 'numpy', 'onnx',
    'onnxruntime', 'openvino',
)  # fmt: skip
FAILURES = (RuntimeError, OSError, EOFError, ValueError)

Progress = Callable[[str, int, int, float], None]
"""What is being done, steps done, steps in all, seconds left."""


@dataclass
class Results:
    """All that was measured.

    Attributes:
        header: Machine, versions, settings.
        baseline: Name of the contestant that others are compared with.
        networks: Name to title, whether it is ours, published AP and its source, and
            what was found: ``costs``, ``gains`` by target, or ``error``.
        rows: Measured rows, those of the baseline once a group.
    """

    header: dict[str, Any]
    baseline: str
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether anything has no figures."""
        networks = any('error' in about for about in self.networks.values())
        return networks or any(row.error for row in self.rows)

    def good(self, batch: int | None = None) -> list[Row]:
        """Rows with times, each once, in order: of a batch size, or training steps."""
        found: dict[tuple, Row] = {}
        for row in self.rows:
            training = row.engine == 'training'
            wanted = training if batch is None else row.batch == batch and not training
            if row.seconds and wanted:
                found.setdefault(row.key, row)
        return list(found.values())

    def rival(self, row: Row) -> Row | None:
        """What of the baseline a row is compared with: same engine, same rounds.

        Of an exported baseline that is its straightforward form, if it has one.
        """
        rivals = {
            other.form: other
            for other in self.in_group(row.group, self.baseline)
            if other.column == row.column
        }
        return rivals.get(STRAIGHTFORWARD, rivals.get(AS_IS))

    def in_group(self, group: int, network: str) -> list[Row]:
        """Rows of a network with times that were interleaved."""
        return [
            row
            for row in self.rows
            if row.seconds and (row.group, row.network) == (group, network)
        ]

    def as_data(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


def run(
    plan: Plan,
    progress: Progress = lambda *_: None,
    save: Callable[[Results], None] = lambda _: None,
) -> Results:
    """Measure everything.

    Networks run in forked processes, so no other thread may run here.

    Args:
        plan: What.
        progress: Called after every step.
        save: Called with the results so far after every group.

    Returns:
        The results. What failed is in them with its reason; the rest went on.
    """
    results = Results(describe(plan), plan.baseline)
    with TemporaryDirectory() as folder:
        bench = Bench(plan, Path(folder), results)
        bench.prepare(progress)
        save(results)
        for rows in plan.parts():
            rows = [row for row in rows if 'error' not in results.networks[row.network]]
            first = results.rows[-1].group + 1 if results.rows else 0
            for group in grouped(rows, plan.baseline, GROUP, first):
                bench.time(group, progress)
                save(results)
    return results


def describe(plan: Plan) -> dict[str, Any]:
    """Header of the results."""
    device = 'CPU'
    if plan.device == 'cuda':
        # Not by torch: CUDA that has begun does not survive the forks.
        ask = ('nvidia-smi', '--query-gpu=name', '--format=csv,noheader')
        device = subprocess.check_output(ask, text=True).splitlines()[0]
    names = ('threads', 'image_size', 'rounds', 'warmup', 'steps')
    settings = {name: getattr(plan, name) for name in names}
    return dict(describe_machine(PACKAGES), device=device, **settings)


class Bench:
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

    def path(self, row: Row) -> Path | None:
        """Where an exported network lies; None if the engine reads none."""
        engine = self.plan.engine(row.engine)
        if not engine.suffix:
            return None
        form = row.form.replace(' ', '-')
        if row.form not in (AS_IS, STRAIGHTFORWARD):
            form += f'_{engine.target}'
        return self.folder / f'{row.network}_{form}_{row.batch}{engine.suffix}'

    def prepare(self, progress: Progress) -> None:
        """Count, export and run everybody once, one after the other."""
        begun, total = time.monotonic(), len(self.known)
        for done, (name, one) in enumerate(self.known.items()):
            left = (time.monotonic() - begun) / done * (total - done) if done else 0.0
            progress(f'preparing {name}', done, total, left)
            known = published(one) if self.plan.image_size == AP_SIZE else None
            about = dict(title=one.title, ours=one.ours)
            about |= dict(zip(('ap', 'source'), known or (None, None), strict=True))
            self.results.networks[name] = about
            try:
                self._prepare(one, about)
            except FAILURES as error:
                about['error'] = last_line(error)
        progress('prepared', total, total, 0.0)

    def _prepare(self, one: Contestant, about: dict[str, Any]) -> None:
        plan = self.plan
        rows = [r for part in plan.parts() for r in part if r.network == one.name]
        with Isolated(Workshop, one, plan, method='fork') as shop:
            about['costs'] = shop.ask('costs')
            if plan.steps and one.ours:
                targets = dict.fromkeys(plan.engine(row.engine).target for row in rows)
                about['gains'] = {t: shop.ask('gains', t) for t in targets}
            for batch in plan.batches:
                self.references[one.name, batch] = shop.ask('reference', batch)
            for row in rows:
                path, target = self.path(row), plan.engine(row.engine).target
                if path is None or path.is_file() or path in self.faults:
                    continue
                try:
                    shop.ask('export', row.form, target, row.batch, path)
                except FAILURES as error:
                    self.faults[path] = last_line(error)

    def time(self, rows: Sequence[Row], progress: Progress) -> None:
        """Time rows, each in a process of its own, in turns."""
        self.results.rows += rows
        title = f'batch {rows[0].batch}, group {rows[0].group + 1}'
        report = partial(progress, title)
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
                except FAILURES as error:
                    row.error = last_line(error)
                    continue
                runners[str(index)] = runner
                every[str(index)] = SELDOM if slow else 1
            if runners:
                self._interleave(rows, runners, every, report)

    def _start(self, row: Row) -> Isolated:
        path = self.path(row)
        if path in self.faults:
            raise RuntimeError(f'not exported: {self.faults[path]}')
        contestant = self.known[row.network]
        return Isolated(Runner, contestant, row, self.plan, path, method='fork')

    def _check(self, row: Row, runner: Isolated) -> None:
        """Compare outputs with those of PyTorch as is."""
        if row.engine == 'training':
            return
        reference = self.references[row.network, row.batch]
        row.difference = relative_difference(runner.ask('outputs'), reference)
        strict = row.precision == 'f32' and not self.known[row.network].choosy
        if strict and not row.difference <= TOLERANCE:
            raise RuntimeError(
                f'outputs differ from PyTorch by {row.difference:.2g} of the largest, '
                f'allowed is {TOLERANCE:g}'
            )

    def _interleave(
        self,
        rows: Sequence[Row],
        runners: dict[str, Isolated],
        every: dict[str, int],
        report: Callable[[int, int, float], None],
    ) -> None:
        begun = time.monotonic()

        def ask(key: str, what: str) -> Any:
            row = rows[int(key)]
            if row.error is None:
                try:
                    return runners[key].ask(what)
                except FAILURES as error:
                    row.error = last_line(error)
            return 0.0

        def advance(done: int, total: int, left: float) -> None:
            # A turn is several calls, so the clock knows better than their times.
            report(done, total, (time.monotonic() - begun) / done * (total - done))

        turns = {key: partial(ask, key, 'turn') for key in runners}
        rounds, warmup = self.plan.rounds, self.plan.warmup
        timings = interleave(turns, rounds, warmup, every, advance)
        for key, timing in timings.items():
            row = rows[int(key)]
            megabytes = ask(key, 'megabytes')
            if row.error is None:
                row.seconds, row.megabytes = dict(timing.seconds), megabytes


def last_line(error: BaseException) -> str:
    """What went wrong, without the traceback."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
