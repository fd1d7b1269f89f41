"""Running the benchmark: every contestant is prepared, then all rows run in turns."""

from __future__ import annotations

import copy
import ctypes
import gc
import io
import re
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..analysis import Traffic, count_macs, count_macs_once, count_traffic
from ..analysis.timing import describe_machine, steps
from ..analysis.workers import (
    FAILURES,
    WARMUP,
    Bench,
    Progress,
    in_subprocess,
    last_line,
    time_benches,
)
from ..deploy import (
    EstimatorGraph,
    compile_network,
    gains,
    list_passes,
    open_engine,
    optimize,
    relative_difference,
    to_onnx,
)
from ..io.files import write_atomically
from .contestants import AP_SIZE, Contestant, build, published_ap, settle
from .rows import AS_IS, ENGINES, OPTIMIZED, STRAIGHTFORWARD, Plan, Results, Row

# In f32 outputs may differ by this from PyTorch's, relative to the largest.
TOLERANCE = 1e-3
PACKAGES = (
    'mmpose_lite', 'torch', 'mmpose', 'mmcv', 'mmengine', 'numpy', 'onnx',
    'onnxruntime', 'openvino',
)  # fmt: skip
Size = tuple[int, int]


def run(
    plan: Plan,
    progress: Progress = lambda *_: None,
    save: Callable[[Results], None] = lambda _: None,
) -> Results:
    """Measure everything; what fails is noted in the results, and the rest goes on.

    Networks run in forked processes, so no other thread may run here. ``save`` is
    called with the results so far after every group.
    """
    names = ('threads', 'image_size', 'rounds', 'steps')
    settings = {name: getattr(plan, name) for name in names}
    header = dict(describe_machine(PACKAGES), warmup=WARMUP, **settings)
    results = Results(header, plan.baseline)
    prepared: dict[str, Prepared] = {}
    with TemporaryDirectory() as folder:
        for one in steps(plan.contestants, partial(progress, 'preparing')):
            ap = published_ap(one) if plan.image_size == AP_SIZE else None
            about = dict(title=one.title, ours=one.ours, ap=ap)
            results.networks[one.name] = about
            try:
                prepared[one.name] = in_subprocess(prepare, one, plan, Path(folder))
                about |= prepared[one.name].about
            except FAILURES as error:
                about['error'] = last_line(error)
        save(results)
        for group in plan.groups(set(results.networks) - set(prepared)):
            results.rows += group
            benches = [partial(RowBench, r, plan, prepared[r.network]) for r in group]
            title = f'batch {group[0].batch}, group {group[0].group + 1}'
            outcomes = time_benches(benches, plan.rounds, progress, title)
            for row, outcome in zip(group, outcomes, strict=True):
                row.error = outcome.error
                for timing in outcome.timings:
                    row.seconds = dict(timing.seconds)
                    row.megabytes = outcome.facts['megabytes']
                    row.difference = outcome.facts['difference']
            save(results)
    return results


@dataclass
class Prepared:
    """What is known of a contestant before anything is timed.

    Attributes:
        about: Its ``costs``; if passes are timed, its ``gains`` by target.
        references: Batch size to outputs as is, in PyTorch.
        faults: Files that could not be written, and why.
    """

    contestant: Contestant
    about: dict[str, Any]
    references: dict[int, list[np.ndarray]]
    folder: Path
    faults: dict[Path, str]

    def path(self, row: Row) -> Path | None:
        """Where the network of a row lies; None if its engine reads no file."""
        engine = ENGINES[row.engine]
        target = '' if row.form in (AS_IS, STRAIGHTFORWARD) else engine.target
        name = f'{row.network}_{row.form}_{target}_{row.batch}{engine.suffix}'
        return self.folder / name if engine.suffix else None


def prepare(contestant: Contestant, plan: Plan, folder: Path) -> Prepared:
    """Count, run and export a contestant, in a process that then ends."""
    torch.set_num_threads(plan.threads)
    size = plan.image_size
    estimator = settle(build(contestant), size)
    found = Prepared(contestant, {}, {}, folder, {})
    found.about['costs'] = _costs(estimator, size, contestant.ours)
    rows = plan.rows(contestant)
    if plan.steps and contestant.ours:
        image = random_images(1, size)
        found.about['gains'] = {
            target: [
                dict(asdict(gain), megabytes=gain.traffic.megabytes)
                for gain in gains(estimator, image, target=target, image_size=size)
            ]
            for target in dict.fromkeys(ENGINES[row.engine].target for row in rows)
        }
    for batch in plan.batches:
        images = random_images(batch, size)
        found.references[batch] = as_arrays(in_eager(estimator, images)())
    for row in rows:
        path = found.path(row)
        if path is None or path.is_file() or path in found.faults:
            continue
        try:
            _export(estimator, row, size, path)
        except Exception as error:
            found.faults[path] = last_line(error)
    return found


def random_images(batch: int, image_size: Size) -> Tensor:
    """The batch ``(B, 3, H, W)`` that every row gets, normalised."""
    generator = torch.Generator().manual_seed(2)
    return torch.randn(batch, 3, *image_size, generator=generator)


def as_arrays(outputs: Any) -> list[np.ndarray]:
    """Outputs of any engine, ``float32``."""
    values = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [
        (v.float().cpu().numpy() if isinstance(v, Tensor) else v).astype(np.float32)
        for v in values
    ]


def in_form(estimator: nn.Module, form: str, target: str, size: Size) -> nn.Module:
    """The network as it is timed; ``estimator`` is left as it is."""
    if form in (AS_IS, STRAIGHTFORWARD):
        return estimator
    options: dict[str, Any] = dict(target=target, image_size=size)
    if form == OPTIMIZED:
        return optimize(estimator, **options)
    network = copy.deepcopy(estimator).eval().requires_grad_(False)
    with torch.no_grad():
        for name, step in list_passes(**options).items():
            network = step(network).eval().requires_grad_(False)
            if name == form:
                break
    return network


def _costs(estimator: nn.Module, size: Size, ours: bool) -> dict[str, float]:
    """What needs no clock, of one image."""
    image = random_images(1, size)
    run = partial(EstimatorGraph(estimator), image)
    found: dict[str, float] = dict(
        params=sum(p.numel() for p in estimator.parameters()),
        macs=count_macs(run),
        macs_once=count_macs_once(estimator, run),
    )
    forms = {'': 'fold norms'} | ({'_optimized': OPTIMIZED} if ours else {})
    for suffix, form in forms.items():
        network = EstimatorGraph(in_form(estimator, form, 'eager', size))
        kinds = count_traffic(partial(network, image))
        total = sum(kinds.values(), Traffic())
        found[f'operators{suffix}'] = total.operators
        found[f'megabytes{suffix}'] = total.megabytes
    return found


def _export(estimator: nn.Module, row: Row, size: Size, path: Path) -> None:
    """Write the network of a row as a file for its engine."""
    if row.engine == 'native':
        compile_network(EstimatorGraph(estimator), size, path, row.batch)
        return
    network = in_form(estimator, row.form, ENGINES[row.engine].target, size)
    graph, images = EstimatorGraph(network).eval(), random_images(row.batch, size)
    if row.form == STRAIGHTFORWARD:
        data = export_straightforwardly(graph, images)
    else:
        data = to_onnx(graph, images, batch=row.batch)
    write_atomically(path, data)


def export_straightforwardly(network: nn.Module, images: Tensor) -> bytes:
    """What ``torch.onnx.export`` makes if nothing is done for speed.

    In preserve mode the exporter leaves batch norms in, as it does in training mode.
    """
    file = io.BytesIO()
    mode = torch.onnx.TrainingMode.PRESERVE
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings('ignore', category=DeprecationWarning)
        warnings.filterwarnings('ignore', category=torch.jit.TracerWarning)
        # It would be a loss to training only.
        warnings.filterwarnings('ignore', message='It is recommended that constant')
        torch.onnx.export(
            network, (images,), file, training=mode, opset_version=17, dynamo=False
        )
    return file.getvalue()


class RowBench(Bench):
    """A row to be timed; RuntimeError if it is not exported, or computes otherwise."""

    def __init__(self, row: Row, plan: Plan, prepared: Prepared) -> None:
        path = prepared.path(row)
        if path in prepared.faults:
            raise RuntimeError(f'not exported: {prepared.faults[path]}')
        torch.set_num_threads(plan.threads)
        # Else calls could live on what was free already.
        _trim()
        self.before = _resident('VmRSS')
        images = random_images(row.batch, plan.image_size)
        call = _call(prepared.contestant, row, plan, path, images)
        outputs = call()
        self.difference = None
        if row.engine != 'training':
            reference = prepared.references[row.batch]
            self.difference = relative_difference(as_arrays(outputs), reference)
            strict = row.precision == 'f32' and not prepared.contestant.choosy
            if strict and not self.difference <= TOLERANCE:
                raise RuntimeError(
                    f'outputs differ from PyTorch by {self.difference:.2g} of the '
                    f'largest, allowed is {TOLERANCE:g}'
                )
        del outputs
        super().__init__([call])
        _trim()
        self.on_gpu = row.engine == 'cuda'

    def facts(self) -> dict[str, Any]:
        """Peak memory of the calls with engine and network, and the difference."""
        peak = _resident('VmHWM')
        known = peak is not None and self.before is not None
        megabytes = peak - self.before if known else None
        if self.on_gpu:
            megabytes = torch.cuda.max_memory_allocated() / 1e6
        return dict(megabytes=megabytes, difference=self.difference)


def _call(
    contestant: Contestant, row: Row, plan: Plan, path: Path | None, images: Tensor
) -> Callable[[], Any]:
    """A call of the network of a row."""
    if path is not None:
        contents = {path.suffix: path.read_bytes()}
        session = open_engine(contents, row.engine, plan.threads, row.precision)
        return partial(session.run, images.numpy())
    estimator = build(contestant)
    if row.engine == 'training':
        return training_step(estimator, images)
    settle(estimator, plan.image_size)
    network = in_form(estimator, row.form, 'eager', plan.image_size)
    if row.engine == 'cuda':
        return on_gpu(network, images, row.precision)
    return in_eager(network, images)


def in_eager(network: nn.Module, images: Tensor) -> Callable[[], Any]:
    """A call of a pose estimator in PyTorch."""
    graph = EstimatorGraph(network).eval()
    return torch.inference_mode()(partial(graph, images))


def on_gpu(network: nn.Module, images: Tensor, precision: str) -> Callable[[], Any]:
    """A call of a pose estimator on a GPU that waits for its result.

    ``'f16'`` runs channels last under autocast, ``'f32'`` without TF32.
    """
    torch.backends.cudnn.allow_tf32 = False
    half = precision == 'f16'
    order = torch.channels_last if half else torch.contiguous_format
    network, images = (v.to('cuda', memory_format=order) for v in (network, images))
    run = in_eager(network, images)

    def call() -> Any:
        with torch.autocast('cuda', torch.float16, enabled=half):
            outputs = run()
        torch.cuda.synchronize()
        return outputs

    return call


def training_step(network: nn.Module, images: Tensor) -> Callable[[], None]:
    """Forward, backward and a step of Adam on random images and heatmaps."""
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    with torch.no_grad():
        shape = network(images[:2], None, mode='tensor').shape[1:]
    target = torch.rand(len(images), *shape)

    def step() -> None:
        optimizer.zero_grad()
        F.mse_loss(network(images, None, mode='tensor'), target).backward()
        optimizer.step()

    return step


def _resident(key: str) -> float | None:
    """Resident memory of this process, 10^6 bytes, as Linux counts it; else None.

    ``VmRSS`` is what there is now, ``VmHWM`` the most since :func:`_trim`.
    """
    status = Path('/proc/self/status')
    text = status.read_text() if status.is_file() else ''
    found = re.search(rf'^{key}:\s+(\d+) kB', text, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None


def _trim() -> None:
    """Give free memory back, where the C library can, and forget the peak so far."""
    gc.collect()
    getattr(ctypes.CDLL(None), 'malloc_trim', lambda _: None)(0)
    with suppress(OSError):
        Path('/proc/self/clear_refs').write_text('5')
