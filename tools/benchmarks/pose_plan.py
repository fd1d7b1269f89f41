"""What the benchmark measures, and how."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version

import torch

from mmpose_lite.analysis import Isolated
from mmpose_lite.deploy import TARGETS, list_passes
from mmpose_lite.deploy.native.compiler import compiler

from . import engines, litert
from .contestants import AS_IS, OPTIMIZED, STRAIGHTFORWARD, Contestant
from .engines import cpu_model

# Device to engines to the precisions that they offer there.
PRECISIONS = {
    'cpu': {
        'eager': engines.PRECISIONS['pytorch'],
        'onnxruntime': engines.PRECISIONS['onnxruntime'],
        'openvino': engines.PRECISIONS['openvino'],
        'litert': ('f32',),
        'native': ('f32',),
    },
    # amp: channels last and autocast; compile: torch.compile, in f16 with these.
    'cuda': {'eager': ('f32',), 'amp': ('f16',), 'compile': ('f32', 'f16')},
}
# Engine to the format that it takes.
FORMATS = {
    'onnxruntime': '.onnx',
    'openvino': '.onnx',
    'litert': '.tflite',
    'native': '.so',
}
PACKAGES = (
    'mmpose_lite', 'torch', 'mmpose', 'mmcv', 'mmengine', 'numpy', 'onnx',
    'onnxruntime', 'openvino', 'ai-edge-litert',
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A row of the benchmark.

    Attributes:
        contestant: Its name.
        form: Of the network: as is, optimized, straightforward, or the name of the
            last rewrite.
        engine: What runs it.
        precision: What that computes in.
        batch: Images at a time.
    """

    contestant: str
    form: str
    engine: str
    precision: str
    batch: int


@dataclass(frozen=True)
class Setting:
    """What all rows have in common.

    Attributes:
        image_size: Height and width of the images.
        threads: Threads of one call.
        device: ``'cpu'`` or ``'cuda'``.
        clock: Function of the module ``time``; ``'process_time'`` counts the process
            alone, for a busy machine.
    """

    image_size: tuple[int, int] = (256, 192)
    threads: int = 1
    device: str = 'cpu'
    clock: str = 'perf_counter'


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
        if engine == 'native':
            # It always rewrites, and knows no other network's operators.
            return (OPTIMIZED,) if contestant.compiles and not self.steps else ()
        if self.steps and contestant.ours:
            return (AS_IS, *list_passes(target=target_of(engine)))
        # What is not exported as ONNX has no such form.
        plain = FORMATS.get(engine) == '.onnx'
        return tuple(f for f in contestant.forms if plain or f != STRAIGHTFORWARD)

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
    return engine in FORMATS


def target_of(engine: str) -> str:
    """What networks are rewritten for, of ``deploy.optimize``, to run on an engine."""
    if not exported(engine):
        return 'eager'
    return engine if engine in TARGETS else 'graph'


def check_available(engine: str, device: str = 'cpu') -> None:
    """Make sure that what an engine needs is installed.

    Raises:
        ValueError: If not.
    """
    # Not torch.cuda.is_available, which may begin with CUDA before the forks.
    if device == 'cuda' and not torch.backends.cuda.is_built():
        raise ValueError(
            f'device cuda needs a torch built for CUDA, this is {torch.__version__}'
        )
    if engine == 'litert':
        litert.check()
    elif engine == 'native':
        try:
            compiler()
        except RuntimeError as error:
            raise ValueError(f'engine native: {error}') from None
    elif exported(engine):
        engines.check_engine(engine)


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


def versions() -> dict[str, str]:
    """Versions of all installed packages that have a say in the results."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class _Gpu:
    """Asked in a process of its own: CUDA that has begun does not survive a fork."""

    def name(self) -> str:
        """Name of the GPU."""
        return torch.cuda.get_device_name()


def describe(plan: Plan) -> dict:
    """Header of the results."""
    setting, device = plan.setting, 'CPU'
    if setting.device == 'cuda':
        with Isolated(_Gpu, method='fork') as gpu:
            device = gpu.ask('name')
    return dict(
        date=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        cpu=cpu_model(),
        cores=os.cpu_count(),
        device=device,
        threads=setting.threads,
        image_size=list(setting.image_size),
        rounds=plan.rounds,
        warmup=plan.warmup,
        group=plan.group,
        clock=setting.clock,
        load_average=round(os.getloadavg()[0], 2),
        versions=versions(),
    )
