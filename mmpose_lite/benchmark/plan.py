"""What the benchmark measures: a row is a network in a form on an engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import NamedTuple

import torch

from ..analysis import Spread, Timing
from ..deploy import list_passes
from ..deploy.native.compiler import compiler
from .contestants import Contestant

AS_IS, OPTIMIZED, STRAIGHTFORWARD = 'as is', 'optimized', 'straightforward'
TRAINING_BATCH = 16
"""Images of a training step, whatever batch the others have."""


class Engine(NamedTuple):
    """What runs networks.

    Attributes:
        precisions: What it can compute in.
        suffix: Of the file that it reads; empty for PyTorch itself.
        target: What networks are optimized for, of :func:`deploy.optimize`.
        needs: Packages beside torch.
    """

    precisions: tuple[str, ...] = ('f32',)
    suffix: str = ''
    target: str = 'eager'
    needs: tuple[str, ...] = ()


ENGINES: dict[str, dict[str, Engine]] = {
    'cpu': {
        'eager': Engine(),
        'onnxruntime': Engine(
            ('f32',), '.onnx', 'onnxruntime', ('onnx', 'onnxruntime')
        ),
        'openvino': Engine(('f32', 'bf16'), '.onnx', 'openvino', ('onnx', 'openvino')),
        'native': Engine(('f32',), '.so', 'graph'),
        # Forward, backward and a step of Adam.
        'training': Engine(),
    },
    # f16: channels last, under autocast.
    'cuda': {'eager': Engine(('f32', 'f16'))},
}
"""Device to engines."""


@dataclass
class Row:
    """A network in a form on an engine, and what was measured of it.

    Attributes:
        network: Name of the contestant.
        form: *As is*, *optimized*, *straightforward*, or the name of the last pass.
        engine: What runs it.
        precision: What that computes in.
        batch: Images at a time.
        group: Rows of one group ran interleaved, so only they are compared.
        seconds: Number of the round to seconds of one call.
        megabytes: Peak memory above that of the process before, 10^6 bytes.
        difference: Largest difference from PyTorch's outputs over the largest output.
        error: Why there are no times.
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
    def timing(self) -> Timing:
        """Its times."""
        return Timing(self.seconds)

    @property
    def milliseconds(self) -> Spread:
        """Median and quartiles over the rounds."""
        spread = self.timing.spread
        return Spread(*(1e3 * v for v in (spread.median, spread.low, spread.high)))


@dataclass(frozen=True)
class Plan:
    """What to measure, and how.

    Attributes:
        contestants: Who takes part.
        columns: Engines and what each computes in, see :func:`choose_engines`.
        baseline: Name of the contestant that others are compared with.
        batches: Images at a time.
        image_size: Height and width of the images.
        threads: Threads of one call.
        device: A key of ``ENGINES``.
        rounds: Rounds that count.
        warmup: Turns of each row before them.
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
    device: str = 'cpu'
    rounds: int = 30
    warmup: int = 2
    steps: bool = False

    def __post_init__(self) -> None:
        numbers = (self.threads, self.rounds, self.warmup, *self.batches)
        if not self.batches or min(numbers) < 1:
            raise ValueError(
                'threads, rounds, warmup and batches must be at least 1, got '
                f'{self.threads}, {self.rounds}, {self.warmup} and {self.batches}'
            )
        names = [c.name for c in self.contestants]
        if self.baseline not in names:
            raise ValueError(
                f'baseline must take part, one of {names}, got {self.baseline!r}'
            )

    def engine(self, name: str) -> Engine:
        """The engine of that name."""
        return ENGINES[self.device][name]

    def forms(self, contestant: Contestant, name: str) -> tuple[str, ...]:
        """Forms of a contestant that an engine runs."""
        engine = self.engine(name)
        if name == 'training':
            return (AS_IS,) if contestant.training and not self.steps else ()
        if name == 'native':
            # Compiling is a pass after all others.
            return (OPTIMIZED,) if contestant.compiles and not self.steps else ()
        if self.steps and contestant.ours:
            return (AS_IS, *list_passes(engine.target))
        plain = contestant.straightforward and engine.suffix == '.onnx'
        ours = contestant.ours
        return ((STRAIGHTFORWARD,) * plain) + (AS_IS,) + (OPTIMIZED,) * ours

    def parts(self) -> list[list[Row]]:
        """All rows: a list for each batch size, and one of training steps."""
        parts = [self._rows(batch, training=False) for batch in self.batches]
        return [part for part in (*parts, self._rows(TRAINING_BATCH, True)) if part]

    def _rows(self, batch: int, training: bool) -> list[Row]:
        return [
            Row(contestant.name, form, engine, precision, batch)
            for contestant in self.contestants
            for engine, precision in self.columns
            if (engine == 'training') == training
            for form in self.forms(contestant, engine)
        ]


def choose_engines(
    words: Sequence[str] = (), device: str = 'cpu'
) -> tuple[tuple[str, str], ...]:
    """Engines with what they compute in.

    Args:
        words: Such as ``'openvino'``, for all that it can compute in, or
            ``'openvino:bf16'``; nothing takes all engines.
        device: A key of ``ENGINES``.

    Raises:
        ValueError: If an engine is unknown, cannot compute so, or is not installed.
    """
    known = ENGINES[device]
    columns: list[tuple[str, str]] = []
    for word in words or known:
        name, _, precision = word.partition(':')
        if name not in known or (precision and precision not in known[name].precisions):
            offered = [f'{n}:{p}' for n, e in known.items() for p in e.precisions]
            raise ValueError(f'engine must be one of {offered}, got {word!r}')
        check_available(name, known[name], device)
        columns += [(name, p) for p in known[name].precisions if precision in ('', p)]
    return tuple(dict.fromkeys(columns))


def check_available(name: str, engine: Engine, device: str) -> None:
    """Make sure that what an engine needs is installed.

    Raises:
        ValueError: If not.
    """
    # Not torch.cuda.is_available, which may begin with CUDA before the forks.
    if device == 'cuda' and not torch.backends.cuda.is_built():
        raise ValueError(
            f'device cuda needs a torch built for CUDA, this is {torch.__version__}'
        )
    if missing := [package for package in engine.needs if not find_spec(package)]:
        raise ValueError(
            f'engine {name} needs packages that are not installed; run: pip install '
            f'{" ".join(missing)}'
        )
    if engine.suffix == '.so':
        try:
            compiler()
        except RuntimeError as error:
            raise ValueError(f'engine {name}: {error}') from None


def grouped(
    rows: Sequence[Row], baseline: str, size: int, first: int = 0
) -> list[list[Row]]:
    """Rows that are timed together: contestants as a whole, each with the baseline.

    Args:
        rows: All rows of a batch size.
        baseline: Name of the contestant whose rows are in every group.
        size: Rows of a group; more only if one contestant with the baseline has more.
        first: Number of the first group.

    Returns:
        New rows, with the number of their group.
    """
    common = [row for row in rows if row.network == baseline]
    others: dict[str, list[Row]] = {}
    for row in rows:
        if row.network != baseline:
            others.setdefault(row.network, []).append(row)
    found = [list(common)]
    for mine in others.values():
        if len(found[-1]) > len(common) and len(found[-1]) + len(mine) > size:
            found.append(list(common))
        found[-1] += mine
    return [
        [Row(*row.key, group=number) for row in group]
        for number, group in enumerate(filter(None, found), first)
    ]


def fastest(rows: Iterable[Row]) -> Row | None:
    """The row with the lowest median, of those with times."""
    timed = [row for row in rows if row.seconds]
    return min(timed, key=lambda row: row.timing.spread.median, default=None)
