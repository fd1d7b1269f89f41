"""What the benchmark measures: a row is a network in a form on an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from ..analysis import Spread, Timing
from ..analysis.timing import need
from ..deploy import list_passes
from ..deploy.native.compiler import compiler
from .contestants import Contestant

AS_IS, OPTIMIZED, STRAIGHTFORWARD = 'as is', 'optimized', 'straightforward'
TRAINING_BATCH = 16
"""Images of a training step, whatever batch the others have."""
GROUP = 48
"""Rows that are timed together: processes, each with an engine and a network."""


class Engine(NamedTuple):
    """What runs networks.

    Attributes:
        suffix: Of the file that it reads; empty for PyTorch itself.
        target: What networks are optimized for, of :func:`deploy.optimize`.
    """

    precisions: tuple[str, ...] = ('f32',)
    suffix: str = ''
    target: str = 'eager'


ENGINES = {
    'eager': Engine(),
    'onnxruntime': Engine(suffix='.onnx', target='onnxruntime'),
    'openvino': Engine(('f32', 'bf16'), '.onnx', 'openvino'),
    'native': Engine(suffix='.so', target='graph'),
    # Forward, backward and a step of Adam.
    'training': Engine(),
    # PyTorch on a GPU; float16 is autocast, channels last.
    'cuda': Engine(('f32', 'f16')),
}


@dataclass
class Row:
    """A network in a form on an engine, and what was measured of it.

    Attributes:
        form: *As is*, *optimized*, *straightforward*, or the name of the last pass.
        group: Rows of one group ran interleaved, so only they are compared.
        seconds: Number of the round to seconds of one call.
        megabytes: Peak memory above that of the process before, 10^6 bytes.
        difference: Largest difference from PyTorch's outputs over the largest output.
    """

    network: str
    form: str
    engine: str
    precision: str
    batch: int
    group: int = 0
    seconds: dict[int, float] = field(default_factory=dict)
    megabytes: float | None = None
    difference: float | None = None
    error: str | None = None

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What identifies it; the baseline's has a row in every group."""
        return self.network, self.form, self.engine, self.precision, self.batch

    @property
    def column(self) -> tuple[str, str]:
        """Engine and precision."""
        return self.engine, self.precision

    @property
    def kind(self) -> tuple[bool, int]:
        """Whether it is a training step, and the batch size."""
        return self.engine == 'training', self.batch

    @property
    def timing(self) -> Timing:
        """Its times."""
        return Timing(self.seconds)

    @property
    def milliseconds(self) -> Spread:
        """Median and quartiles over the rounds."""
        return Spread.of(1e3 * seconds for seconds in self.seconds.values())


@dataclass(frozen=True)
class Plan:
    """What to measure, and how.

    Attributes:
        columns: Engines and what each computes in, see :func:`choose_engines`.
        image_size: Height and width of the images.
        steps: Time our networks after each pass of ``deploy.optimize``.

    Raises:
        ValueError: If a number is below 1, or the baseline does not take part.
    """

    contestants: tuple[Contestant, ...]
    columns: tuple[tuple[str, str], ...]
    baseline: str
    batches: tuple[int, ...] = (1,)
    image_size: tuple[int, int] = (256, 192)
    threads: int = 1
    rounds: int = 30
    steps: bool = False

    def __post_init__(self) -> None:
        if not self.batches or min(self.threads, self.rounds, *self.batches) < 1:
            raise ValueError(
                'threads, rounds and batches must be at least 1, got '
                f'{self.threads}, {self.rounds} and {self.batches}'
            )
        names = [c.name for c in self.contestants]
        if self.baseline not in names:
            raise ValueError(
                f'baseline must take part, one of {names}, got {self.baseline!r}'
            )

    def forms(self, contestant: Contestant, name: str) -> tuple[str, ...]:
        """Forms of a contestant that an engine runs."""
        engine = ENGINES[name]
        if name == 'training':
            return (AS_IS,) if contestant.training and not self.steps else ()
        if name == 'native':
            # Compiling is a pass after all others.
            return (OPTIMIZED,) if contestant.compiles and not self.steps else ()
        if self.steps and contestant.ours:
            return (AS_IS, *list_passes(engine.target))
        plain = contestant.straightforward and engine.suffix == '.onnx'
        return (STRAIGHTFORWARD,) * plain + (AS_IS,) + (OPTIMIZED,) * contestant.ours

    def rows(self, contestant: Contestant) -> list[Row]:
        """All rows of a contestant."""
        return [
            Row(contestant.name, form, engine, precision, batch)
            for engine, precision in self.columns
            for batch in ((TRAINING_BATCH,) if engine == 'training' else self.batches)
            for form in self.forms(contestant, engine)
        ]

    def groups(self, failed: Iterable[str] = (), size: int = GROUP) -> list[list[Row]]:
        """Rows that are timed together: contestants as a whole, each with the baseline.

        A group is of one batch size or of training steps, which come last. It has more
        than ``size`` rows only if a contestant with the baseline has more.
        """
        rows = {c.name: self.rows(c) for c in self.contestants if c.name not in failed}
        groups: list[list[Row]] = []
        for kind in sorted({row.kind for mine in rows.values() for row in mine}):
            parts = {n: [r for r in mine if r.kind == kind] for n, mine in rows.items()}
            common = parts.pop(self.baseline, [])
            groups.append([*common])
            for part in parts.values():
                if len(common) < len(groups[-1]) > size - len(part):
                    groups.append([*common])
                groups[-1] += part
        return [
            [Row(*row.key, group=number) for row in group]
            for number, group in enumerate(groups)
        ]


@dataclass
class Results:
    """All that was measured.

    Attributes:
        networks: Name to title, whether it is ours, published AP, and what was found:
            ``costs``, ``gains`` by target, or ``error``.
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

    def rivals(self, row: Row) -> list[Row]:
        """Rows of the baseline with times that ran interleaved with a row."""
        mine = (row.group, self.baseline)
        return [r for r in self.rows if r.seconds and (r.group, r.network) == mine]

    def rival(self, row: Row) -> Row | None:
        """The baseline's row on the same engine, the straightforward one if any."""
        forms = {r.form: r for r in self.rivals(row) if r.column == row.column}
        return forms.get(STRAIGHTFORWARD, forms.get(AS_IS))


def fastest(rows: Iterable[Row]) -> Row | None:
    """The row with the lowest median, of those with times."""
    timed = [row for row in rows if row.seconds]
    return min(timed, key=lambda row: row.timing.spread.median, default=None)


def choose_engines(words: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Engines with what they compute in.

    Args:
        words: ``'openvino'`` is all that it can compute in, ``'openvino:bf16'`` a part;
            nothing is all engines of the processor.

    Raises:
        ValueError: If an engine is unknown, cannot compute so, or is not installed.
    """
    columns: list[tuple[str, str]] = []
    for word in words or [name for name in ENGINES if name != 'cuda']:
        name, _, wanted = word.partition(':')
        precisions = ENGINES[name].precisions if name in ENGINES else ()
        if not precisions or (wanted and wanted not in precisions):
            offered = [f'{n}:{p}' for n, e in ENGINES.items() for p in e.precisions]
            raise ValueError(f'engine must be one of {offered}, got {word!r}')
        need(name, ('onnx', name) if ENGINES[name].suffix == '.onnx' else ())
        # Not torch.cuda.is_available, which may begin with CUDA before rows are forked.
        if name == 'cuda' and not torch.backends.cuda.is_built():
            raise ValueError(
                f'engine cuda needs a torch built for CUDA, this is {torch.__version__}'
            )
        if name == 'native':
            try:
                compiler()
            except RuntimeError as error:
                raise ValueError(f'engine {name}: {error}') from None
        columns += [(name, p) for p in precisions if wanted in ('', p)]
    return tuple(dict.fromkeys(columns))
