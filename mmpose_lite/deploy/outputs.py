"""What networks say about people: MMPose's own inference, and exported models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmpose.apis import inference_topdown
from numpy.typing import NDArray
from torch import nn

from .images import Scene, Scenes
from .runtime import PoseRuntime

Progress = Callable[[int, int], None]
"""Called with people done and people in all."""


@dataclass(frozen=True)
class Outputs:
    """What a network says about all people of some scenes.

    Attributes:
        heatmaps: ``(N, K, h, w)``.
        keypoints: ``(N, K, 2)``, px of the image.
        scores: ``(N, K)``.
    """

    heatmaps: NDArray[np.float32]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float32]


def merged(parts: Sequence[Outputs]) -> Outputs:
    """Outputs of several scenes as one."""
    return Outputs(*(
        np.concatenate([getattr(part, name) for part in parts])
        for name in ('heatmaps', 'keypoints', 'scores')
    ))  # fmt: skip


@contextmanager
def _returning_heatmaps(estimator: nn.Module) -> Iterator[None]:
    former = estimator.test_cfg
    estimator.test_cfg = dict(former, output_heatmaps=True, flip_test=False)
    try:
        yield
    finally:
        estimator.test_cfg = former


def reference_outputs(
    estimator: nn.Module, scenes: Scenes, progress: Progress | None = None
) -> Outputs:
    """What MMPose's own inference finds, without flip test.

    Args:
        estimator: As :func:`load_estimator` returns it.
        scenes: The people.
        progress: Told after each scene.
    """

    def infer(scene: Scene) -> list[tuple[Any, ...]]:
        boxes = None if scene.boxes is None else np.array(scene.boxes)
        found = inference_topdown(estimator, scene.image(), boxes)
        return [
            (
                one.pred_fields.heatmaps.numpy(),
                one.pred_instances.keypoints[0],
                one.pred_instances.keypoint_scores[0],
            )
            for one in found
        ]

    with _returning_heatmaps(estimator):
        return _collect(infer, scenes, progress)


def runtime_outputs(
    runtime: PoseRuntime, scenes: Scenes, progress: Progress | None = None
) -> Outputs:
    """What an exported network finds, without flip test.

    Args:
        runtime: Of the exported network.
        scenes: The people.
        progress: Told after each scene.
    """

    def run(scene: Scene) -> list[tuple[Any, ...]]:
        image = scene.image()
        keypoints, scores = runtime(image, scene.boxes)
        crops = runtime.crops(image, scene.boxes)
        size = runtime.contract.batch or 1
        parts = [crops[i : i + size] for i in range(0, len(crops), size)]
        heatmaps = np.concatenate([runtime.heatmaps(part) for part in parts])
        return list(zip(heatmaps, keypoints, scores, strict=True))

    return _collect(run, scenes, progress)


def _collect(
    run: Callable[[Scene], list[tuple[Any, ...]]],
    scenes: Scenes,
    progress: Progress | None,
) -> Outputs:
    rows: list[tuple[Any, ...]] = []
    for scene in scenes.scenes:
        rows += run(scene)
        if progress is not None:
            progress(len(rows), scenes.people)
    heatmaps, keypoints, scores = (
        np.stack(column) for column in zip(*rows, strict=True)
    )
    return Outputs(heatmaps, keypoints, scores)
