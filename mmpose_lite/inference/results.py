"""People that were found: as MMPose holds them, and as COCO results."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.structures import InstanceData
from mmpose.structures import PoseDataSample

from ..data.coco import PERSON
from ..io.files import write_atomically
from .sources import Frame, Source

_SURE = 0.2  # keypoints above it count in a person's score, as in MMPose's CocoMetric


def as_sample(
    boxes: np.ndarray, keypoints: np.ndarray, scores: np.ndarray
) -> PoseDataSample:
    """N people of K keypoints as MMPose holds them and its visualizer draws them.

    Args:
        boxes: ``(N, 5)``.
        keypoints: ``(N, K, 2)``, px.
        scores: ``(N, K)``.
    """
    people = InstanceData(bboxes=boxes[:, :4], bbox_scores=boxes[:, 4])
    people.keypoints = keypoints
    people.keypoint_scores = people.keypoints_visible = scores
    return PoseDataSample(pred_instances=people)


def coco_results(
    sample: PoseDataSample, image: int | str, category: Any = PERSON
) -> list[dict[str, Any]]:
    """COCO keypoint results of one image.

    A person's score is that of MMPose's ``CocoMetric``: the box's score times the mean
    score of the keypoints that are above 0.2.

    Returns:
        A dict per person: ``image_id``, ``category_id``, ``keypoints`` (x, y, score of
        all K, flat, px) and ``score``.
    """
    found = sample.pred_instances
    results = []
    for points, scores, box_score in zip(
        np.asarray(found.keypoints, np.float64),
        np.asarray(found.keypoint_scores, np.float64),
        np.asarray(found.bbox_scores, np.float64),
        strict=True,
    ):
        sure = scores[scores > _SURE]
        flat = np.concatenate([points, scores[:, None]], axis=1).round(4).ravel()
        score = round(float(box_score * sure.mean()) if len(sure) else 0.0, 6)
        about = dict(image_id=image, category_id=category)
        results.append(dict(about, keypoints=flat.tolist(), score=score))
    return results


class Results:
    """COCO results of all images, and of them a json file, if any, when it is closed.

    ValueError if two images of the source have one number.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        source: Source | None = None,
        category: Any = PERSON,
    ) -> None:
        self.rows: list[dict[str, Any]] = []
        self.category = category
        names: dict[Any, str] = {}
        for frame in source.frames() if source is not None else ():
            other = names.setdefault(frame.image_id, frame.name)
            if other != frame.name:
                raise ValueError(
                    f'images must have different numbers in results, but {other} and '
                    f'{frame.name} are both {frame.image_id}'
                )
        self.path = None if path is None else Path(path)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, frame: Frame, people: PoseDataSample, _: Any = None) -> None:
        """Take the people of one image."""
        self.rows += coco_results(people, frame.image_id, self.category)

    def close(self, complete: bool = True) -> None:
        """Write the file; without ``complete`` only if anybody was found."""
        if self.path is not None and (complete or self.rows):
            write_atomically(self.path, json.dumps(self.rows).encode())
