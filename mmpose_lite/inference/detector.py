"""People found by a detector of mmdet."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from mmengine.config import Config
from mmpose.evaluation.functional import nms

from .boxes import as_boxes


class Detector:
    """A detector of mmdet that gives boxes of people.

    Args:
        model: Path of a config, or a name that mmdet knows (such as ``'rtmdet_tiny'``).
        weights: Checkpoint. A name that mmdet knows brings an address of its own,
            a config does not.
        device: ``'cpu'``, ``'cuda:0'``, …; a GPU if there is one, if not given.
        categories: Numbers of the classes that are people; 0 in detectors of COCO.

    Raises:
        ValueError: If a config comes without weights, or mmdet does not know the name.
    """

    def __init__(
        self,
        model: str,
        weights: str | None = None,
        device: str | None = None,
        categories: int | Sequence[int] = 0,
    ) -> None:
        from mmdet.apis import DetInferencer  # takes a second, and few need it

        scope = 'mmdet'
        if os.path.exists(model):
            if weights is None:
                raise ValueError(f'the detector {model} needs weights: its checkpoint')
            scope = Config.fromfile(model).get('default_scope', scope)
        self.categories = np.atleast_1d(categories)
        self._detect = DetInferencer(
            model, weights, device, scope=scope, show_progress=False
        )

    def __call__(
        self, image: np.ndarray, threshold: float = 0.3, overlap: float = 0.3
    ) -> np.ndarray:
        """People of an image.

        Args:
            image: ``(H, W, 3)`` ``uint8`` BGR.
            threshold: Score below which boxes are dropped.
            overlap: Intersection over union above which the box with the lower score
                is dropped.

        Returns:
            ``(N, 5)``: left, top, right, bottom in px, and score.
        """
        (found,) = self._detect(image, return_datasamples=True)['predictions']
        people = found.pred_instances.cpu().numpy()
        boxes = np.concatenate([people.bboxes, people.scores[:, None]], axis=1)
        chosen = np.isin(people.labels, self.categories) & (people.scores > threshold)
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        boxes = boxes[chosen & (width > 0) & (height > 0)]
        return as_boxes(boxes[nms(boxes, overlap)]) if len(boxes) else as_boxes([])
