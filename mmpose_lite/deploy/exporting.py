"""From config and checkpoint to a model file that was proven to do the same.

The contract is described before the files are made, because they hold it, too: added
after the proof it would leave files that nobody has run. Digests and what was measured
stand only in the one beside them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..io.files import atomic_file, remove_parts
from ..loading import load_model
from .backends import Files, find_backend
from .estimator import EstimatorGraph, describe, sized_config
from .parity import Difference, tolerances
from .passes import optimize
from .proof import Progress, prove
from .runtime import (
    Contract,
    PoseNetwork,
    contract_path,
    extra,
    model_paths,
    open_engine,
)
from .runtime.contract import digests
from .samples import find_samples


@dataclass(frozen=True)
class Exported:
    """A model that was written, and how far it is from the network that was trained."""

    contract: Contract
    difference: Difference
    paths: tuple[Path, ...]


def export(
    config: str | os.PathLike[str],
    checkpoint: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    format: str | None = None,
    precision: str = 'fp32',
    image_size: tuple[int, int] | None = None,
    batch: int | None = 1,
    optimized: bool = True,
    images: Sequence[str | os.PathLike[str]] = (),
    people: int = 32,
    tolerance: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write a model once it was proven to do what the trained network does.

    Args:
        out: The model's file; others of it take its name with other suffixes.
        format: A key of ``BACKENDS``; None is that of the suffix.
        precision: What weights are stored in, ``'fp32'`` or ``'fp16'``.
        image_size: Height and width, px; None is the config's own.
        batch: Crops per run; None is any number.
        images: What to compare on: a folder of images, or a COCO json and its folder;
            none are the config's validation data, else drawn people.
        people: Compared at least, if there are as many; the last image's all count.
        tolerance: Of ``TOLERANCES``, those to change.
        progress: Called with what is running, people done and people in all.

    Raises:
        ValueError: If the network cannot be exported so; no file is left behind.
        ImportError: If a package is missing.
        OSError: If a file cannot be read or written.
        RuntimeError: If the model differs by more than is tolerated, or a network is
            to be compiled and no compiler can.
    """
    backend = find_backend(out, format)
    backend.check(precision, batch, optimized)
    limits = tolerances(precision, tolerance or {})
    model_paths(out, backend.name)
    if not Path(out).parent.is_dir():
        raise FileNotFoundError(f'the folder of {out} does not exist')
    versions = {name: str(extra(name).__version__) for name in backend.needs}
    settings = sized_config(config, image_size)
    samples = find_samples(images, settings).first(people)
    estimator = load_model(settings, checkpoint)
    contract = describe(
        estimator,
        checkpoint,
        source=dict(compared_on=samples.name),
        versions=versions,
        format=backend.name,
        precision=precision,
        batch=batch,
        optimized=optimized,
    )
    network = estimator
    if optimized:
        size = (contract.input_size[1], contract.input_size[0])
        network = optimize(estimator, backend.target, image_size=size)
    files = backend.write(EstimatorGraph(network), contract)
    exported = PoseNetwork(contract, open_engine(files))
    difference = prove(estimator, exported, samples, progress)
    exceeded = '; '.join(difference.exceeded(limits))
    if exceeded:
        raise RuntimeError(
            f'the exported network differs too much on {samples.name}: {exceeded}'
        )
    verified = {name: float(value) for name, value in asdict(difference).items()}
    contract = replace(contract, sha256=digests(files), verified=verified)
    return Exported(contract, difference, save(out, files, contract))


def save(
    out: str | os.PathLike[str], files: Files, contract: Contract
) -> tuple[Path, ...]:
    """Write model and contract, each whole or not at all; the contract comes last.

    Whoever reads in between finds digests that do not fit, and refuses.
    """
    paths = model_paths(out, contract.format)
    contents = {paths[suffix]: data for suffix, data in files.items()}
    contents[contract_path(out)] = f'{contract.to_json()}\n'.encode()
    remove_parts(Path(out).parent)
    # Files take their names when the stack is left, the first one last.
    with ExitStack() as stack:
        for path, data in reversed(contents.items()):
            stack.enter_context(atomic_file(path)).write(data)
    return tuple(contents)
