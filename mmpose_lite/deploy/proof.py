"""Two networks on the same people: MMPose's own inference, and an exported model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from mmpose.apis import inference_topdown
from torch import nn

from .parity import Difference, Outputs, relative_difference
from .runtime import PoseNetwork
from .runtime.codecs import axis_split
from .samples import Sample, Samples

Progress = Callable[[int, int], None]
"""Called with people done and people in all."""
Row = tuple[Any, Any, Any]
"""Heatmap, keypoints and scores of a person."""


def prove(
    estimator: nn.Module,
    exported: PoseNetwork,
    samples: Samples,
    progress: Callable[[str, int, int], None] | None = None,
) -> Difference:
    """Run an exported network beside MMPose's own inference of what was trained.

    ``progress`` is called with what is running, people done and people in all.

    Raises:
        ValueError: If the engine cannot run the model, values are not finite, or
            heatmaps depend on who else is in the batch.
    """
    names = ('PyTorch', exported.contract.format)
    told = [progress and partial(progress, name) for name in names]
    split = axis_split(exported.contract)
    reference = reference_outputs(estimator, samples, split, told[0])
    # Engines have exceptions of their own, of no common kind.
    try:
        if exported.contract.batch is None:
            _check_any_batch(exported, samples)
        found = runtime_outputs(exported, samples, told[1])
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


@contextmanager
def _recorded(estimator: nn.Module) -> Iterator[list[Any]]:
    """What the head returns, call by call, while there is no flip test.

    MMPose calls its ``forward`` directly, past hooks, and gives heatmaps away only in a
    form for pictures.
    """
    former, head, returned = estimator.test_cfg, cast(Any, estimator.head), []
    forward = head.forward

    def record(*args: Any) -> Any:
        returned.append(forward(*args))
        return returned[-1]

    estimator.test_cfg = dict(former, flip_test=False)
    head.forward = record
    try:
        yield returned
    finally:
        del head.forward
        estimator.test_cfg = former


def reference_outputs(
    estimator: nn.Module,
    samples: Samples,
    split: int | None = None,
    progress: Progress | None = None,
) -> Outputs:
    """What MMPose's own inference finds, without flip test.

    Args:
        estimator: As :func:`mmpose_lite.loading.load_model` returns it.
        samples: The people.
        split: See :class:`Outputs`.
        progress: Called after each sample.
    """

    def infer(sample: Sample) -> Iterable[Row]:
        boxes = None if sample.boxes is None else np.array(sample.boxes)
        found = inference_topdown(estimator, sample.image(), boxes)
        heatmaps = returned.pop()
        if isinstance(heatmaps, tuple):
            heatmaps = torch.cat(heatmaps, 2)
        people = [one.pred_instances for one in found]
        keypoints = (one.keypoints[0] for one in people)
        scores = (one.keypoint_scores[0] for one in people)
        return zip(heatmaps.numpy(), keypoints, scores, strict=True)

    with _recorded(estimator) as returned:
        return _collect(infer, samples, split, progress)


def runtime_outputs(
    exported: PoseNetwork, samples: Samples, progress: Progress | None = None
) -> Outputs:
    """What an exported network finds, without flip test."""

    def run(sample: Sample) -> Iterable[Row]:
        for batch in exported.batches(sample.image(), sample.boxes):
            yield from zip(*batch, strict=True)

    return _collect(run, samples, axis_split(exported.contract), progress)


def _collect(
    run: Callable[[Sample], Iterable[Row]],
    samples: Samples,
    split: int | None,
    progress: Progress | None,
) -> Outputs:
    rows: list[Row] = []
    for sample in samples.samples:
        rows += run(sample)
        if progress is not None:
            progress(len(rows), samples.people)
    heatmaps, keypoints, scores = (
        np.stack(column) for column in zip(*rows, strict=True)
    )
    return Outputs(heatmaps, keypoints, scores, split)
