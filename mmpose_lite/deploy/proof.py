"""Two networks on the same people: MMPose's own inference, and an exported model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
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


def prove(
    estimator: nn.Module,
    exported: PoseNetwork,
    samples: Samples,
    progress: Callable[[str, int, int], None] | None = None,
) -> Difference:
    """Run an exported network beside MMPose's own inference.

    Args:
        estimator: The network that was trained.
        exported: The model in its engine.
        samples: People to compare on.
        progress: Called with what is running, people done and people in all.

    Raises:
        ValueError: If the engine cannot run the model, values are not finite, or
            heatmaps depend on who else is in the batch.
    """
    names = ('PyTorch', exported.contract.format)
    told = [progress and partial(progress, name) for name in names]
    reference = reference_outputs(estimator, samples, told[0])
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
    estimator: nn.Module, samples: Samples, progress: Progress | None = None
) -> Outputs:
    """What MMPose's own inference finds, without flip test.

    Args:
        estimator: As :func:`mmpose_lite.loading.load_model` returns it.
        samples: The people.
        progress: Called after each sample.
    """
    split = None

    def infer(sample: Sample) -> list[tuple[Any, ...]]:
        nonlocal split
        boxes = None if sample.boxes is None else np.array(sample.boxes)
        found = inference_topdown(estimator, sample.image(), boxes)
        heatmaps = returned.pop()
        if isinstance(heatmaps, tuple):
            split = heatmaps[0].shape[2]
            heatmaps = torch.cat(heatmaps, 2)
        return [
            (
                one_map,
                one.pred_instances.keypoints[0],
                one.pred_instances.keypoint_scores[0],
            )
            for one_map, one in zip(heatmaps.numpy(), found, strict=True)
        ]

    with _recorded(estimator) as returned:
        outputs = _collect(infer, samples, progress)
    return replace(outputs, split=split)


def runtime_outputs(
    exported: PoseNetwork, samples: Samples, progress: Progress | None = None
) -> Outputs:
    """What an exported network finds, without flip test.

    Args:
        exported: The model in its engine.
        samples: The people.
        progress: Called after each sample.
    """

    def run(sample: Sample) -> list[tuple[Any, ...]]:
        batches = exported.batches(sample.image(), sample.boxes)
        return [row for batch in batches for row in zip(*batch, strict=True)]

    outputs = _collect(run, samples, progress)
    return replace(outputs, split=axis_split(exported.contract))


def _collect(
    run: Callable[[Sample], list[tuple[Any, ...]]],
    samples: Samples,
    progress: Progress | None,
) -> Outputs:
    rows: list[tuple[Any, ...]] = []
    for sample in samples.samples:
        rows += run(sample)
        if progress is not None:
            progress(len(rows), samples.people)
    heatmaps, keypoints, scores = (
        np.stack(column) for column in zip(*rows, strict=True)
    )
    return Outputs(heatmaps, keypoints, scores)
