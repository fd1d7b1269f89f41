"""What runs in subprocess workers: counting, exporting, and each row's calls."""

from __future__ import annotations

import copy
import ctypes
import gc
import io
import re
import statistics
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..analysis import Traffic, count_macs, count_macs_once, count_traffic, stopwatch
from ..deploy import (
    EstimatorGraph,
    compile_network,
    gains,
    list_passes,
    open_engine,
    optimize,
    to_onnx,
)
from ..io.files import write_atomically
from .contestants import Contestant, build, settle
from .plan import AS_IS, OPTIMIZED, STRAIGHTFORWARD, Plan, Row

# Seconds; before shorter calls the caches are filled again, as other processes ran.
SHORT = 0.03
# Calls of a turn: so many, unless they take longer than this many seconds together.
CALLS, TURN = 3, 0.06


def random_images(batch: int, image_size: tuple[int, int]) -> Tensor:
    """The batch ``(B, 3, H, W)`` that every row gets, normalised."""
    generator = torch.Generator().manual_seed(2)
    return torch.randn(batch, 3, *image_size, generator=generator)


def as_arrays(outputs: Any) -> list[np.ndarray]:
    """Outputs of any engine, in single precision."""
    values = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [
        (v.float().cpu().numpy() if isinstance(v, Tensor) else v).astype(np.float32)
        for v in values
    ]


def in_form(
    estimator: nn.Module, form: str, target: str, image_size: tuple[int, int]
) -> nn.Module:
    """The network as it is timed.

    Args:
        estimator: Left as it is.
        form: See :class:`Row`.
        target: Of ``deploy.optimize``.
        image_size: Height and width of the images.
    """
    if form in (AS_IS, STRAIGHTFORWARD):
        return estimator
    options: dict[str, Any] = dict(target=target, image_size=image_size)
    if form == OPTIMIZED:
        return optimize(estimator, **options)
    network = copy.deepcopy(estimator).eval().requires_grad_(False)
    with torch.no_grad():
        for name, step in list_passes(**options).items():
            network = step(network).eval().requires_grad_(False)
            if name == form:
                break
    return network


def export_straightforwardly(network: nn.Module, images: Tensor) -> bytes:
    """What ``torch.onnx.export`` makes if nothing is done for speed.

    In preserve mode the exporter leaves batch norms in, as it does in training mode.
    """
    file = io.BytesIO()
    mode = torch.onnx.TrainingMode.PRESERVE
    options = dict(training=mode, opset_version=17, dynamo=False)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings('ignore', category=DeprecationWarning)
        warnings.filterwarnings('ignore', category=torch.jit.TracerWarning)
        # It would be a loss to training only.
        warnings.filterwarnings('ignore', message='It is recommended that constant')
        torch.onnx.export(network, (images,), file, **options)
    return file.getvalue()


class Workshop:
    """A contestant that is counted and exported, in a process that then ends."""

    def __init__(self, contestant: Contestant, plan: Plan) -> None:
        torch.set_num_threads(plan.threads)
        self.size = plan.image_size
        self.ours = contestant.ours
        self.estimator = settle(build(contestant), self.size)

    def costs(self) -> dict[str, float]:
        """What needs no clock, of one image."""
        image = random_images(1, self.size)
        run = partial(self.estimator, image, None, mode='tensor')
        found: dict[str, float] = dict(
            params=sum(p.numel() for p in self.estimator.parameters()),
            macs=count_macs(run),
            macs_once=count_macs_once(self.estimator, run),
        )
        forms = {'': 'fold norms'} | ({'_optimized': OPTIMIZED} if self.ours else {})
        for suffix, form in forms.items():
            network = in_form(self.estimator, form, 'eager', self.size)
            kinds = count_traffic(partial(network, image, None, mode='tensor'))
            total = sum(kinds.values(), Traffic())
            found[f'operators{suffix}'] = total.operators
            found[f'megabytes{suffix}'] = total.megabytes
        return found

    def gains(self, target: str) -> list[dict[str, Any]]:
        """A row as trained and one after each pass."""
        image = random_images(1, self.size)
        rows = gains(self.estimator, image, target=target, image_size=self.size)
        return [dict(asdict(row), megabytes=row.traffic.megabytes) for row in rows]

    @torch.inference_mode()
    def reference(self, batch: int) -> list[np.ndarray]:
        """Outputs as is, in PyTorch."""
        images = random_images(batch, self.size)
        return as_arrays(self.estimator(images, None, mode='tensor'))

    def export(self, form: str, target: str, batch: int, path: Path) -> None:
        """Write a form as ONNX or compiled, as the suffix says."""
        if path.suffix == '.so':
            compile_network(EstimatorGraph(self.estimator), self.size, path, batch)
            return
        network = in_form(self.estimator, form, target, self.size)
        graph, images = EstimatorGraph(network).eval(), random_images(batch, self.size)
        if form == STRAIGHTFORWARD:
            data = export_straightforwardly(graph, images)
        else:
            data = to_onnx(graph, images, batch=batch)
        write_atomically(path, data)


class Runner:
    """A row, ready to be timed.

    Args:
        contestant: The network.
        row: Which row.
        plan: How.
        path: The exported network, if the engine reads one.
    """

    def __init__(
        self, contestant: Contestant, row: Row, plan: Plan, path: Path | None
    ) -> None:
        torch.set_num_threads(plan.threads)
        self.memory = Memory(plan.device)
        self.call = self._prepare(contestant, row, plan, path)
        self.mode = torch.inference_mode(row.engine != 'training')
        with self.mode:
            self.call()
            self.memory.reset()
            self.last = stopwatch(self.call)

    @staticmethod
    def _prepare(
        contestant: Contestant, row: Row, plan: Plan, path: Path | None
    ) -> Callable[[], Any]:
        images = random_images(row.batch, plan.image_size)
        if path is not None:
            contents = {path.suffix: path.read_bytes()}
            session = open_engine(contents, row.engine, plan.threads, row.precision)
            return partial(session.run, images.numpy())
        estimator = build(contestant)
        if row.engine == 'training':
            return training_step(estimator, images)
        settle(estimator, plan.image_size)
        network = in_form(estimator, row.form, 'eager', plan.image_size)
        network = EstimatorGraph(network).eval()
        if plan.device == 'cuda':
            return on_gpu(network, images, row.precision)
        return partial(network, images)

    def outputs(self) -> list[np.ndarray]:
        """What the network computes."""
        with self.mode:
            return as_arrays(self.call())

    def turn(self) -> float:
        """Seconds of one call, the median of a few."""
        with self.mode:
            if self.last < SHORT:
                self.call()
            taken: list[float] = []
            while len(taken) < CALLS and sum(taken) < TURN:
                taken.append(stopwatch(self.call))
        self.last = statistics.median(taken)
        return self.last

    def megabytes(self) -> float | None:
        """Peak memory of the calls, with engine and network; None if unknown."""
        return self.memory.peak()


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


def on_gpu(network: nn.Module, images: Tensor, precision: str) -> Callable[[], Any]:
    """A call of a network that waits for the GPU's result.

    Args:
        network: In eval mode.
        images: Its input.
        precision: ``'f16'`` runs channels last under autocast; ``'f32'`` in full
            precision, so without TF32.
    """
    torch.backends.cudnn.allow_tf32 = False
    half = precision == 'f16'
    order = torch.channels_last if half else torch.contiguous_format
    network = network.to('cuda', memory_format=order)
    images = images.to('cuda', memory_format=order)

    def call() -> Any:
        with torch.autocast('cuda', torch.float16, enabled=half):
            outputs = network(images)
        torch.cuda.synchronize()
        return outputs

    return call


class Memory:
    """What a process holds more than when this object was made.

    On a CPU it is resident memory as Linux counts it; on a GPU what torch allocates.
    """

    def __init__(self, device: str) -> None:
        self.gpu = device == 'cuda'
        # Else calls could live on what was free already.
        _trim()
        self.base = _status('VmRSS')

    def reset(self) -> None:
        """Give free memory back and forget the peak so far."""
        _trim()
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()
        elif self.base is not None:
            Path('/proc/self/clear_refs').write_text('5')

    def peak(self) -> float | None:
        """Largest amount since the reset in units of 10^6 bytes; None if unknown."""
        if self.gpu:
            return torch.cuda.max_memory_allocated() / 1e6
        peak = _status('VmHWM')
        return None if peak is None or self.base is None else peak - self.base


def _trim() -> None:
    """Give free memory back to the system, where the C library can."""
    gc.collect()
    getattr(ctypes.CDLL(None), 'malloc_trim', lambda _: None)(0)


def _status(key: str) -> float | None:
    """A line of /proc/self/status in units of 10^6 bytes; None without the file."""
    path = Path('/proc/self/status')
    text = path.read_text() if path.is_file() else ''
    found = re.search(rf'^{key}:\s+(\d+) kB', text, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None
