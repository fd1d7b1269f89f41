"""MMPose's 2D inferencer for the models of the zoo."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmengine.config import Config
from mmpose.apis.inferencers import Pose2DInferencer
from mmpose.structures import PoseDataSample
from torch import nn

from ..deploy.runtime.contract import FORMATS
from ..loading import load_model, read_config
from ..weights import fetch_weights
from ..zoo import find_model
from .boxes import Detector, as_boxes, whole_image
from .results import as_sample

EXPORTED = tuple(suffixes[0] for suffixes in FORMATS.values())


class PoseInferencer(Pose2DInferencer):
    """MMPose's ``Pose2DInferencer`` that takes boxes, and only weights that fit.

    It is called like MMPose's and returns what that returns. Different are:

    - ``bboxes`` are used: one entry per image, rows ``[x1, y1, x2, y2]`` and, if
      wanted, a score. MMPose 1.3 takes the argument and then ignores it.
    - Where a detector finds nobody there is nobody; MMPose takes the whole image.
    - Without detector and boxes the whole image is one person; MMPose downloads a
      detector.
    - Weights must fill the whole model; MMPose goes on with what it finds.

    Args:
        model: Path of a config, or the config.
        weights: Checkpoint; random weights if not given.
        device: ``'cpu'``, ``'cuda:0'``, …; a GPU if there is one, if not given.
        det_model: Config or name of an mmdet detector; none if not given.
        det_cat_ids: The detector's classes that are people.

    Raises:
        ValueError: If the weights do not fit.
    """

    def __init__(
        self,
        model: str | Config,
        weights: str | None = None,
        device: str | None = None,
        det_model: str | None = None,
        det_weights: str | None = None,
        det_cat_ids: int | Sequence[int] | None = None,
        scope: str = 'mmpose',
        show_progress: bool = False,
    ) -> None:
        cfg = read_config(model)
        if 'data_mode' not in cfg:
            # Only MMPose's own configs say it outside of their data sets.
            whole = cfg.model.type.rpartition('.')[2] != 'BottomupPoseEstimator'
            cfg.data_mode = 'topdown' if whole else 'bottomup'
        detector = (det_model, det_weights, det_cat_ids)
        super().__init__(cfg, weights, device, scope, *detector, show_progress)

    def _init_detector(
        self,
        det_model: str | None = None,
        det_weights: str | None = None,
        det_cat_ids: int | Sequence[int] | None = None,
        device: str | None = None,
    ) -> None:
        self.detector = None
        if det_model not in (None, 'whole_image', 'whole-image'):
            categories = 0 if det_cat_ids is None else det_cat_ids
            self.detector = Detector(det_model, det_weights, device, categories)

    def _init_model(self, cfg: Config, weights: Any, device: str = 'cpu') -> nn.Module:
        return load_model(cfg, weights, device=device)

    def preprocess(
        self,
        inputs: Any,
        batch_size: int = 1,
        bboxes: Sequence[Any] | None = None,
        bbox_thr: float = 0.3,
        nms_thr: float = 0.3,
        **kwargs: Any,
    ) -> Iterator[tuple[Any, list[Any]]]:
        """Batches of the people of each image, with the image."""
        if self.cfg.data_mode != 'topdown':
            limits = (bbox_thr, nms_thr)
            yield from super().preprocess(inputs, batch_size, None, *limits, **kwargs)
            return
        count = len(inputs) if hasattr(inputs, '__len__') else None
        if bboxes is not None and count not in (None, len(bboxes)):
            raise ValueError(
                f'bboxes must have one entry for each of {count} images, '
                f'got {len(bboxes)}'
            )
        for index, given in enumerate(inputs):
            image = mmcv.imread(given) if isinstance(given, str) else given
            if image is None:
                raise ValueError(f'cannot read the image {given}')
            if bboxes is not None:
                boxes = as_boxes(bboxes[index], f'bboxes[{index}]')
            elif self.detector is not None:
                boxes = self.detector(image, bbox_thr, nms_thr)
            else:
                boxes = whole_image(image)
            name = given if isinstance(given, str) else f'{index:06d}.jpg'
            about = dict(self.model.dataset_meta, img=image, img_path=name)
            people = [
                self.pipeline(dict(about, bbox=box[None, :4], bbox_score=box[4:]))
                for box in boxes
            ]
            yield (self.collate_fn(people) if people else name), [given]

    def forward(self, inputs: Any, **kwargs: Any) -> list[PoseDataSample]:
        """People of one image; none where ``inputs`` is only its name."""
        if not isinstance(inputs, str):
            return super().forward(inputs, **kwargs)
        count = len(self.model.dataset_meta['keypoint_id2name'])
        nobody = as_sample(as_boxes([]), np.zeros((0, count, 2)), np.zeros((0, count)))
        nobody.set_metainfo(dict(img_path=inputs))
        return [nobody]

    def people(
        self, image: np.ndarray, boxes: np.ndarray | None = None, threshold: float = 0.3
    ) -> PoseDataSample:
        """The people of one image.

        Args:
            image: ``(H, W, 3)`` ``uint8`` BGR.
            boxes: ``(N, 4)`` or ``(N, 5)``; the detector's if not given, or one around
                all of the image if there is no detector.
        """
        bboxes = None if boxes is None else [boxes]
        done = self(image, return_datasamples=True, bboxes=bboxes, bbox_thr=threshold)
        return next(iter(done))['predictions'][0]


def inferencer(
    name: str,
    weights: str | os.PathLike[str] | None = None,
    *,
    detector: str | None = None,
    detector_weights: str | os.PathLike[str] | None = None,
    device: str | None = None,
) -> PoseInferencer:
    """An inferencer for a model of the zoo or a config of one's own.

    Args:
        name: Name or alias in the zoo, or path of a config.
        weights: Checkpoint; the zoo's public ones if not given and there are any.
        detector: Config or name of an mmdet detector; without it every image is one
            person, unless ``bboxes`` are given in the call.
        device: ``'cpu'``, ``'cuda:0'``, …; a GPU if there is one, if not given.

    Raises:
        OSError: If the weights cannot be read.
        ValueError: If the name is unknown (the message lists the nearest ones), there
            are no weights or they do not fit.

    Example:
        >>> import mmpose_lite
        >>> pose = mmpose_lite.inferencer('xhrnet-s18', 'best.pth')  # doctest: +SKIP
        >>> results = list(pose('photos', out_dir='drawn'))  # doctest: +SKIP
    """
    if Path(name).suffix in EXPORTED:
        raise ValueError(
            f'{name} is an exported file: mmpose_lite.deploy.PoseRuntime runs it'
        )
    return PoseInferencer(
        find_model(name).config,
        os.fspath(fetch_weights(name) if weights is None else weights),
        device,
        detector,
        None if detector_weights is None else os.fspath(detector_weights),
    )
