"""What networks say about people: MMPose's own inference, and exported models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from mmpose.apis import inference_topdown
from numpy.typing import NDArray
from torch import nn

from .images import Scene, Scenes
from .runtime import PoseRuntime
from .runtime.codecs import axis_split

Progress = Callable[[int, int], None]
"""Called with people done and people in all."""


@dataclass(frozen=True)
class Outputs:
    """What a network says about all people of some scenes.

    Attributes:
        heatmaps: ``(N, K, h, w)``, or ``(N, K, Wx + Wy)`` of vectors, x first.
        keypoints: ``(N, K, 2)``, px of the image.
        scores: ``(N, K)``.
        split: Length Wx of vectors along x; None if heatmaps are maps.
    """

    heatmaps: NDArray[np.float32]
    keypoints: NDArray[np.float64]
    scores: NDArray[np.float32]
    split: int | None = None

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Heatmaps, keypoints and scores."""
        return self.heatmaps, self.keypoints, self.scores

    @property
    def peaks(self) -> NDArray[np.intp]:
        """Where each map, or each of two vectors, is highest, ``(N, K, 1 or 2)``."""
        flat = self.heatmaps.reshape(*self.heatmaps.shape[:2], -1)
        parts = [flat] if self.split is None else np.split(flat, [self.split], 2)
        return np.stack([part.argmax(2) for part in parts], 2)


def merged(parts: Sequence[Outputs]) -> Outputs:
    """Outputs of several scenes as one."""
    columns = zip(*(part.arrays for part in parts), strict=True)
    return Outputs(*map(np.concatenate, columns), split=parts[0].split)


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
    estimator: nn.Module, scenes: Scenes, progress: Progress | None = None
) -> Outputs:
    """What MMPose's own inference finds, without flip test.

    Args:
        estimator: As :func:`load_estimator` returns it.
        scenes: The people.
        progress: Told after each scene.
    """
    split = None

    def infer(scene: Scene) -> list[tuple[Any, ...]]:
        nonlocal split
        boxes = None if scene.boxes is None else np.array(scene.boxes)
        found = inference_topdown(estimator, scene.image(), boxes)
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
        outputs = _collect(infer, scenes, progress)
    return replace(outputs, split=split)


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

    outputs = _collect(run, scenes, progress)
    return replace(outputs, split=axis_split(runtime.contract))


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
