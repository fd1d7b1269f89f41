"""From config and checkpoint to a model file that was proven to do the same.

The way of an export, in order, each module visited once:

1. :mod:`.backends`: the format's record is chosen, and refuses what it cannot do;
2. :mod:`.estimator`: config and checkpoint become a network (by
   :mod:`mmpose_lite.loading`) and its contract;
3. :mod:`.samples`: the people to compare on;
4. :mod:`.passes`: the network in the form that the backend names;
5. the backend's ``write`` (:mod:`.onnx` or :mod:`.native`): the files' contents;
6. :mod:`.runtime.engines`: those contents, opened by the backend's own engine;
7. :mod:`.proof`: that engine and MMPose's own inference on the same people.

Then the contract is sealed, with the files' digests and what was measured, and files
take their names. It is described once, before they are made, because models hold it,
too: added to them after the proof it would leave files that nobody has run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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
from .samples import find_samples


@dataclass(frozen=True)
class Exported:
    """A model that was written.

    Attributes:
        contract: What is known of it.
        difference: How far it is from the network that was trained.
        paths: All of its files.
    """

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
        config: Of the pose estimator.
        checkpoint: Its weights.
        out: The model's file; others of it take its name with other suffixes.
        format: A key of ``BACKENDS``; None is that of the suffix.
        precision: What weights are stored in.
        image_size: Height and width, px; None is the config's own.
        batch: Crops per run; None is any number.
        optimized: Whether to optimize the network first.
        images: What to compare on: a folder, or a COCO json and its folder; see
            :func:`mmpose_lite.deploy.samples.find_samples`.
        people: At most about so many of them.
        tolerance: Tolerances to change, by name.
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
    contract = contract.sealed(files, difference.figures())
    return Exported(contract, difference, save(out, files, contract))


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
    contents[contract_path(out)] = f'{contract.to_json()}\n'.encode()
    remove_parts(Path(out).parent)
    # Files take their names when the stack is left, the first one last.
    with ExitStack() as stack:
        for path, data in reversed(contents.items()):
            stack.enter_context(atomic_file(path)).write(data)
    return tuple(contents)
