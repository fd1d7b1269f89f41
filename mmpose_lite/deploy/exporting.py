"""From config and checkpoint to a model file that was proven to do the same."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from .. import __version__
from ..io.files import atomic_file, remove_parts
from .description import describe
from .estimator import load_estimator, read_config
from .formats import Files, check_packages, write
from .images import Scenes, coco_scenes, find_scenes
from .int8_nodes import patterns_of
from .onnx_export import OPSET
from .outputs import Outputs, reference_outputs, runtime_outputs
from .parity import Difference, Tolerance
from .quantization import quantizer
from .runtime import Contract, PoseRuntime, contract_path, model_paths

Progress = Callable[[str, int, int], None]
"""Called with what is being done, people done and people in all."""


@dataclass(frozen=True)
class Request:
    """What to export.

    Attributes:
        config: Of the pose estimator.
        checkpoint: Its weights.
        out: The model's file; others of it take its name with other suffixes.
        format: A key of ``FORMATS``.
        precision: One of ``PRECISIONS``.
        image_size: Height and width, px; None is the config's own.
        batch: Crops per run; None is any number.
        optimized: Whether to rewrite the network first.
        images: What to compare on, see :func:`find_scenes`.
        people: At most about so many of them.
        calibrate: COCO json and folder of images for int8.
        int8_nodes: Patterns of nodes that become int8; none is the table's.
        tolerance: Tolerances to change, by name.
    """

    config: str
    checkpoint: str
    out: str
    format: str = 'onnx'
    precision: str = 'fp32'
    image_size: tuple[int, int] | None = None
    batch: int | None = 1
    optimized: bool = True
    images: tuple[str, ...] = ()
    people: int = 32
    calibrate: tuple[str, str] | None = None
    int8_nodes: tuple[str, ...] = ()
    tolerance: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        contract: Of the model.
        difference: From the network that was trained.
        paths: Of all files.
    """

    contract: Contract
    difference: Difference
    paths: tuple[Path, ...]


def export(request: Request, progress: Progress | None = None) -> Exported:
    """Write a model once it was proven to do what the trained network does.

    Args:
        request: What to export.
        progress: Told how far calibration and comparison are.

    Returns:
        What was written.

    Raises:
        ValueError: If the network cannot be exported so, or differs by more than is
            tolerated; no file is left behind.
        ImportError: If a package is missing.
        OSError: If a file cannot be read or written.
    """
    paths = model_paths(request.out, request.format)
    if not paths[Path(request.out).suffix].parent.is_dir():
        raise FileNotFoundError(f'the folder of {request.out} does not exist')
    tolerance = Tolerance.of(request.precision, request.tolerance or {})
    if request.precision == 'int8' and request.calibrate is None:
        raise ValueError('precision int8 needs images to calibrate on')
    packages = check_packages(request.format, request.precision)
    config = read_config(request.config, request.image_size)
    scenes = find_scenes(request.images, config).first(request.people)
    estimator = load_estimator(config, request.checkpoint)
    contract = _contract(estimator, request, scenes, packages)
    quantize = None
    if request.calibrate is not None and request.precision == 'int8':
        calibration = coco_scenes(*request.calibrate)
        patterns = request.int8_nodes or patterns_of(type(estimator.backbone).__name__)
        quantize = quantizer(
            contract, calibration, patterns, _named(progress, 'calibrating')
        )
    files, contract = write(estimator, contract, quantize)
    difference = verify(estimator, files, contract, scenes, progress)
    exceeded = difference.exceeded(tolerance)
    if exceeded:
        raise ValueError(
            f'the exported network differs too much on {scenes.name}: '
            f'{"; ".join(exceeded)}'
        )
    contract = replace(contract, verified=difference.figures())
    return Exported(contract, difference, save(request.out, files, contract))


def _contract(
    estimator: nn.Module,
    request: Request,
    scenes: Scenes,
    packages: Mapping[str, str],
) -> Contract:
    contract = describe(
        estimator,
        request.checkpoint,
        format=request.format,
        precision=request.precision,
        batch=request.batch,
        optimized=request.optimized,
        opset=OPSET,
    )
    versions = {'mmpose_lite': __version__, **contract.versions, **packages}
    return replace(
        contract,
        versions=versions,
        source={**contract.source, 'compared_on': scenes.name},
    )


def _named(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    told = progress
    return lambda done, total: told(name, done, total)


def verify(
    estimator: nn.Module,
    files: Files,
    contract: Contract,
    scenes: Scenes,
    progress: Progress | None = None,
) -> Difference:
    """Run a model as users will, from files, beside MMPose's own inference.

    Args:
        estimator: The network that was trained.
        files: Of the model.
        contract: Of the model.
        scenes: People to compare on.
        progress: As of :func:`export`.

    Raises:
        ValueError: If the engine cannot run the model, or values are not finite.
    """
    reference = reference_outputs(estimator, scenes, _named(progress, 'PyTorch'))
    found = _run(files, contract, scenes, _named(progress, contract.format))
    return Difference.between(found, reference)


def _run(
    files: Files,
    contract: Contract,
    scenes: Scenes,
    progress: Callable[[int, int], None] | None,
) -> Outputs:
    with tempfile.TemporaryDirectory() as folder:
        suffix = next(iter(files))
        path = Path(folder, f'model{suffix}')
        save(path, files, contract)
        # Engines have exceptions of their own, of no common kind.
        try:
            runtime = PoseRuntime(path)
            if contract.batch is None:
                _check_any_batch(runtime, scenes)
            return runtime_outputs(runtime, scenes, progress)
        except (ValueError, OSError, ImportError):
            raise
        except Exception as error:
            raise ValueError(
                f'the engine cannot run the exported network: {error}'
            ) from error


def _check_any_batch(runtime: PoseRuntime, scenes: Scenes) -> None:
    """Make sure that a crop's heatmaps do not depend on who else is in the batch."""
    scene = scenes.scenes[0]
    crop = runtime.crops(scene.image(), scene.boxes)[:1]
    alone = runtime.heatmaps(crop)
    together = runtime.heatmaps(np.concatenate([crop, -crop, crop]))
    off = np.abs(together[::2] - alone).max() / max(np.abs(alone).max(), 1e-30)
    if not off < 1e-3:
        raise ValueError(
            f'heatmaps differ by {off:.1e} of the largest between batches of 1 and 3'
        )


def save(
    out: str | os.PathLike[str], files: Files, contract: Contract
) -> tuple[Path, ...]:
    """Write model and contract, each whole or not at all; the contract comes last.

    Whoever reads in between finds digests that do not fit, and refuses.

    Raises:
        OSError: If a file cannot be written; no half-written one is left behind.
    """
    paths = model_paths(out, contract.format)
    contents = {paths[suffix]: data for suffix, data in files.items()}
    text = contract.to_json() + '\n'
    contents[contract_path(out)] = text.encode()
    remove_parts(Path(out).parent)
    # Files take their names when the stack is left, the first one last.
    with ExitStack() as stack:
        for path, data in reversed(contents.items()):
            stack.enter_context(atomic_file(path)).write(data)
    return tuple(contents)
