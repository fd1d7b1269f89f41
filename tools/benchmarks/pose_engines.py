"""Contestants counted and exported, then each row in a process of its own."""

from __future__ import annotations

import io
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmpose_lite.analysis import stopwatch
from mmpose_lite.deploy import TARGETS, EstimatorGraph, list_passes, optimize, to_onnx
from mmpose_lite.deploy.native import NativeNetwork, compile_network
from mmpose_lite.io.files import write_atomically

from . import engines, litert
from .contestants import AS_IS, OPTIMIZED, STRAIGHTFORWARD, Contestant, build, settle
from .pose_costs import Costs, count_costs, rewritten
from .pose_memory import Memory
from .pose_plan import Entry, Setting

FOLDED = 'norms folded'
# Seconds; before shorter calls the caches are filled again, as other processes ran.
SHORT = 0.03
# Calls of a turn: so many, unless they take longer than this many seconds together.
CALLS, TURN = 3, 0.06


def optimized_for(target: str) -> str:
    """Name of the form that is optimized for a target of ``deploy.optimize``."""
    return OPTIMIZED if target == 'eager' else f'{OPTIMIZED} for {target}'


def random_images(batch: int, image_size: tuple[int, int]) -> Tensor:
    """The batch ``(B, 3, H, W)`` that everybody gets, normalised."""
    generator = torch.Generator().manual_seed(2)
    return torch.randn(batch, 3, *image_size, generator=generator)


def in_form(
    estimator: nn.Module, form: str, target: str, image_size: tuple[int, int]
) -> nn.Module:
    """The network as it is timed.

    Args:
        estimator: Left as it is.
        form: See :class:`Entry`.
        target: As of ``deploy.optimize``.
        image_size: Height and width of the images.
    """
    if form in (AS_IS, STRAIGHTFORWARD):
        return estimator
    options: dict[str, Any] = dict(target=target, image_size=image_size)
    if form == OPTIMIZED:
        return optimize(estimator, **options)
    names = list(list_passes(**options))
    return rewritten(estimator, names.index(form) + 1, **options)


def export_plainly(network: nn.Module, images: Tensor) -> bytes:
    """What ``torch.onnx.export`` makes if nothing is done for speed.

    In preserve mode the exporter leaves batch norms in, as it does in training mode.
    """
    file = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings('ignore', category=DeprecationWarning)
        warnings.filterwarnings('ignore', category=torch.jit.TracerWarning)
        # It would be a loss to training only.
        warnings.filterwarnings('ignore', message='It is recommended that constant')
        torch.onnx.export(
            network,
            (images,),
            file,
            training=torch.onnx.TrainingMode.PRESERVE,
            opset_version=17,
            dynamo=False,
        )
    return file.getvalue()


def as_arrays(outputs: Any) -> list[np.ndarray]:
    """Outputs of any engine, in single precision."""
    values = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [
        (v.float().cpu().numpy() if isinstance(v, Tensor) else v).astype(np.float32)
        for v in values
    ]


def difference(outputs: list[np.ndarray], reference: list[np.ndarray]) -> float:
    """Largest difference of any output over the largest value of its reference.

    Raises:
        RuntimeError: If there are others, or of other shapes, or not all are finite.
    """
    shapes, wanted = ([a.shape for a in arrays] for arrays in (outputs, reference))
    if shapes != wanted:
        raise RuntimeError(f'outputs have shapes {shapes}, expected {wanted}')
    pairs = list(zip(outputs, reference, strict=True))
    off = max(float(abs(a - b).max() / abs(b).max()) for a, b in pairs)
    if not np.isfinite(off):
        raise RuntimeError('outputs are not all finite')
    return off


def load(
    path: Path, images: Tensor, entry: Entry, threads: int
) -> Callable[[], list[np.ndarray]]:
    """A call of an exported network on the engine of its row.

    Raises:
        ValueError: If the engine cannot run it so.
    """
    if entry.engine == 'native':
        if threads != 1:
            raise ValueError(f'engine native computes on 1 thread, got {threads}')
        network, array = NativeNetwork(path), images.numpy()
        return lambda: [network(array)]
    data = path.read_bytes()
    if entry.engine == 'litert':
        return litert.load(data, images, threads)
    return engines.load(entry.engine, data, images, threads, entry.precision)


class Workshop:
    """A contestant that is counted and exported, in a process that then ends."""

    def __init__(self, contestant: Contestant, setting: Setting) -> None:
        torch.set_num_threads(setting.threads)
        self.size = setting.image_size
        self.estimator = settle(build(contestant), self.size)

    def costs(self, forms: tuple[str, ...]) -> dict[str, Costs]:
        """Costs as is, with norms folded, and optimized for each target."""
        image = random_images(1, self.size)
        found = {
            AS_IS: self.estimator,
            FOLDED: rewritten(self.estimator, 1),
        }
        if OPTIMIZED in forms:
            for target in TARGETS:
                network = in_form(self.estimator, OPTIMIZED, target, self.size)
                found[optimized_for(target)] = network
        return {name: count_costs(model, image) for name, model in found.items()}

    @torch.inference_mode()
    def reference(self, batch: int) -> list[np.ndarray]:
        """Outputs as is, in PyTorch."""
        images = random_images(batch, self.size)
        return as_arrays(self.estimator(images, None, mode='tensor'))

    def export(self, form: str, target: str, batch: int, path: Path) -> None:
        """Write a form as ONNX, for LiteRT or compiled, as the suffix says."""
        if path.suffix == '.so':
            compile_network(EstimatorGraph(self.estimator), self.size, path, batch)
            return
        network = in_form(self.estimator, form, target, self.size)
        graph, images = EstimatorGraph(network).eval(), random_images(batch, self.size)
        if path.suffix == '.tflite':
            data = litert.convert(graph, images)
        elif form == STRAIGHTFORWARD:
            data = export_plainly(graph, images)
        else:
            data = to_onnx(graph, images, batch=batch)
        write_atomically(path, data)


class Runner:
    """A row, ready to be timed.

    Args:
        contestant: The network.
        entry: Which row.
        setting: How.
        path: The exported network, if the engine takes one.
    """

    def __init__(
        self, contestant: Contestant, entry: Entry, setting: Setting, path: Path | None
    ) -> None:
        torch.set_num_threads(setting.threads)
        self.clock = getattr(time, setting.clock)
        self.device = setting.device
        before = Memory(self.device)
        self.call: Callable[[], Any]
        images = random_images(entry.batch, setting.image_size)
        if path is not None:
            self.call = load(path, images, entry, setting.threads)
        else:
            estimator = settle(build(contestant), setting.image_size)
            network = in_form(estimator, entry.form, 'eager', setting.image_size)
            network = EstimatorGraph(network).eval()
            self.call = in_torch(
                network, images, entry.engine, entry.precision, self.device
            )
            del estimator, network
        with torch.inference_mode():
            self.call()
            self.memory = before.reset()
            self.last = self.seconds()

    def seconds(self) -> float:
        """Time of one call."""
        return stopwatch(self.call, self.clock)

    @torch.inference_mode()
    def outputs(self) -> list[np.ndarray]:
        """What the network computes."""
        return as_arrays(self.call())

    @torch.inference_mode()
    def turn(self) -> float:
        """Time of one call, the median of a few."""
        if self.last < SHORT:
            self.call()
        taken: list[float] = []
        while len(taken) < CALLS and sum(taken) < TURN:
            taken.append(self.seconds())
        self.last = statistics.median(taken)
        return self.last

    def megabytes(self) -> float | None:
        """Peak memory of the calls, with engine and network; None if unknown."""
        return self.memory.peak()


def in_torch(
    network: nn.Module, images: Tensor, engine: str, precision: str, device: str
) -> Callable[[], Any]:
    """A call of a network in PyTorch; on a GPU it waits for the result.

    Args:
        network: In eval mode.
        images: Its input.
        engine: One of ``PRECISIONS[device]``.
        precision: ``'f16'`` runs channels last under autocast.
        device: Where.
    """
    if device == 'cpu':
        return partial(network, images)
    # Not run where this was written: there was no GPU.
    half = precision == 'f16'
    order = torch.channels_last if half else torch.contiguous_format
    network = network.to(device, memory_format=order)
    images = images.to(device, memory_format=order)
    run: Callable[[Tensor], Any] = network
    if engine == 'compile':
        run = torch.compile(network, mode='reduce-overhead')

    def call() -> Any:
        with torch.autocast(device, torch.float16, enabled=half):
            outputs = run(images)
        torch.cuda.synchronize()
        return outputs

    return call
