"""Two networks on the same people: MMPose's own inference, and an exported model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
import torch
from mmpose.apis import inference_topdown
from torch import nn

from .parity import Difference, Outputs, relative_difference
from .runtime import PoseNetwork
from .runtime.codecs import axis_split
from .samples import Sample, Samples

Progress = Callable[[str, int, int], None]
"""Called with what is running, people done and people in all."""
Row = tuple[Any, Any, Any]  # heatmap, keypoints and scores of a person


def prove(
    estimator: nn.Module,
    exported: PoseNetwork,
    samples: Samples,
    progress: Progress | None = None,
) -> Difference:
    """Run an exported network beside MMPose's own inference of what was trained.

    Raises:
        ValueError: If the engine cannot run the model, values are not finite, or
            heatmaps depend on who else is in the batch.
    """
    contract = exported.contract
    reference = reference_outputs(estimator, samples, axis_split(contract), progress)
    # Engines have exceptions of their own, of no common kind.
    try:
        if contract.batch is None:
            _check_any_batch(exported, samples)
        found = runtime_outputs(exported, samples, contract.format, progress)
    except (ValueError, OSError, ImportError):
        raise
    except Exception as error:
        raise ValueError(
            f'the engine cannot run the exported network: {error}'
        ) from error
    return Difference.between(found, reference)


def _check_any_batch(exported: PoseNetwork, samples: Samples) -> None:
    sample = samples.samples[0]
    crop = exported.crops(sample.image(), sample.boxes)[:1]
    together = exported.heatmaps(np.concatenate([crop, -crop, crop]))
    alone = exported.heatmaps(crop).repeat(2, 0)
    off = relative_difference([together[::2]], [alone])
    if off >= 1e-3:
        raise ValueError(
            f'heatmaps differ by {off:.1e} of the largest between batches of 1 and 3'
        )


def reference_outputs(
    estimator: nn.Module,
    samples: Samples,
    split: int | None = None,
    progress: Progress | None = None,
) -> Outputs:
    """What MMPose's own inference finds, without flip test; ``split`` as of Outputs."""
    # MMPose calls the head's `forward` directly, past hooks, and gives heatmaps away
    # only in a form for pictures.
    former, head, returned = estimator.test_cfg, cast(Any, estimator.head), []
    forward = head.forward

    def record(*args: Any) -> Any:
        returned.append(forward(*args))
        return returned[-1]

    def infer(sample: Sample) -> Iterable[Row]:
        boxes = None if sample.boxes is None else np.array(sample.boxes)
        found = inference_topdown(estimator, sample.image(), boxes)
        heatmaps = returned.pop()
        if isinstance(heatmaps, tuple):
            heatmaps = torch.cat(heatmaps, 2)
        for heatmap, one in zip(heatmaps.numpy(), found, strict=True):
            person = one.pred_instances
            yield heatmap, person.keypoints[0], person.keypoint_scores[0]

    estimator.test_cfg = dict(former, flip_test=False)
    head.forward = record
    try:
        return _collect(infer, samples, split, 'PyTorch', progress)
    finally:
        del head.forward
        estimator.test_cfg = former


def runtime_outputs(
    exported: PoseNetwork, samples: Samples, name: str, progress: Progress | None = None
) -> Outputs:
    """What an exported network finds, without flip test; ``name`` is for progress."""

    def run(sample: Sample) -> Iterable[Row]:
        for batch in exported.batches(sample.image(), sample.boxes):
            yield from zip(*batch, strict=True)

    return _collect(run, samples, axis_split(exported.contract), name, progress)


def _collect(
    run: Callable[[Sample], Iterable[Row]],
    samples: Samples,
    split: int | None,
    name: str,
    progress: Progress | None,
) -> Outputs:
    rows: list[Row] = []
    for sample in samples.samples:
        rows += run(sample)
        if progress is not None:
            progress(name, len(rows), samples.people)
    return Outputs(*map(np.stack, zip(*rows, strict=True)), split=split)
