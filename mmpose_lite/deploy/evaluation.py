"""What a lower precision costs: shifts of keypoints, and average precision."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from xtcocotools.coco import COCO
from xtcocotools.cocoeval import COCOeval

from .parity import Outputs, shifts_of
from .proof import Progress, runtime_outputs
from .runtime import PoseRuntime
from .samples import Samples, coco_samples

JOINTS = 17  # of COCO, whose constants the evaluation knows
SEEN = 0.2  # what scores less says nothing about a person, as in MMPose's CocoMetric


@dataclass(frozen=True)
class Comparison:
    """Comparison of a model with another one.

    Attributes:
        median: Of all keypoints' shifts, px of the image.
        p95: 95 of 100 keypoints shift less, px.
        labelled_p95: The same of keypoints that are labelled.
        ap: Average precision, 0 to 100; ``reference_ap`` is the other model's.
        low: Lower end of a bootstrap interval of 95 % of the difference of both, up to
            ``high``.
    """

    people: int
    median: float
    p95: float
    labelled_p95: float
    reference_ap: float
    ap: float
    low: float
    high: float


def compare(
    model: str | os.PathLike[str],
    reference: str | os.PathLike[str],
    images: Sequence[tuple[str | os.PathLike[str], str | os.PathLike[str]]],
    rounds: int = 1000,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two exported models on annotated people.

    Args:
        images: COCO jsons of 17 keypoints, each with the folder of its images.
        rounds: Of the bootstrap.

    Raises:
        OSError: If a file is missing.
        ValueError: If a file is damaged, or people have no annotations of 17 keypoints.
        ImportError: If an engine is not installed.
    """
    samples = Samples(
        tuple(one for pair in images for one in coco_samples(*pair).samples), 'images'
    )
    found, wanted = (
        runtime_outputs(PoseRuntime(file), samples, Path(file).name, progress)
        for file in (model, reference)
    )
    return compare_outputs(found, wanted, samples, rounds)


def compare_outputs(
    found: Outputs, reference: Outputs, samples: Samples, rounds: int = 1000
) -> Comparison:
    """Compare outputs; the bootstrap draws the same images for both models."""
    records = [record for one in samples.samples for record in one.annotations]
    labels = np.array([r['keypoints'] for r in records]).reshape(len(records), -1, 3)
    if labels.shape != (len(found.keypoints), JOINTS, 3):
        raise ValueError('samples must be annotated with the 17 keypoints of COCO')
    shifts, images = shifts_of(found, reference), len(samples.samples)
    first, second = (Evaluated(outputs, samples) for outputs in (found, reference))
    draws = np.random.default_rng(0).integers(0, images, (rounds, images))
    differences = [first.precision(draw) - second.precision(draw) for draw in draws]
    low, high = np.percentile(differences, [2.5, 97.5])
    return Comparison(
        people=len(records),
        median=float(np.median(shifts)),
        p95=float(np.percentile(shifts, 95)),
        labelled_p95=float(np.percentile(shifts[labels[..., 2] > 0], 95)),
        reference_ap=second.precision(),
        ap=first.precision(),
        low=float(low),
        high=float(high),
    )


class Evaluated:
    """Predictions for annotated people, matched once and summed up over any images."""

    def __init__(self, outputs: Outputs, samples: Samples) -> None:
        truth, records, results = COCO(), [], []
        people = zip(outputs.keypoints, outputs.scores, strict=True)
        for image, sample in enumerate(samples.samples, 1):
            common = dict(image_id=image, category_id=1)
            for record in sample.annotations:
                keypoints, scores = next(people)
                seen = scores[scores > SEEN]
                records.append(dict(record, **common, id=len(records) + 1))
                results.append(
                    dict(
                        common,
                        keypoints=np.column_stack([keypoints, scores]).ravel().tolist(),
                        score=float(seen.mean()) if len(seen) else 0.0,
                    )
                )
            for record in sample.ignored:
                records.append(dict(record, **common, id=len(records) + 1))
        self._images = np.arange(len(samples.samples))
        truth.dataset = dict(
            images=[dict(id=int(i) + 1) for i in self._images],
            annotations=records,
            categories=[dict(id=1, name='person')],
        )
        with contextlib.redirect_stdout(io.StringIO()):  # it prints
            truth.createIndex()
            self._eval = COCOeval(truth, truth.loadRes(results), 'keypoints')
            self._eval.evaluate()
        # Of every range of areas, then of every image.
        found = np.array(self._eval.evalImgs, object)
        self._matches = found.reshape(-1, len(self._images))

    def precision(self, images: NDArray[np.integer] | None = None) -> float:
        """Average precision, 0 to 100, on images numbered from 0; None is each once."""
        chosen = self._images if images is None else images
        self._eval.evalImgs = list(self._matches[:, chosen].ravel())
        # Repeated images must count as images of their own.
        for params in (self._eval.params, self._eval._paramsEval):
            params.imgIds = list(range(len(chosen)))
        with contextlib.redirect_stdout(io.StringIO()):
            self._eval.accumulate()
        # Thresholds of overlap, recall, category, any area, up to 20 detections.
        precision = self._eval.eval['precision'][:, :, 0, 0, 0]
        return 100 * float(precision[precision > -1].mean())
