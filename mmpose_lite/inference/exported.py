"""Exported networks in the place of MMPose's inferencer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmpose.datasets.datasets.utils import parse_pose_metainfo
from mmpose.structures import PoseDataSample
from mmpose.visualization import PoseLocalVisualizer

from .. import deploy
from .boxes import as_boxes, whole_image
from .detector import Detector
from .results import as_sample

# The colours of MMPose's own data sets.
_LEFT, _RIGHT, _MIDDLE = (0, 255, 0), (255, 128, 0), (51, 153, 255)


class ExportedPoser:
    """Finds people with an exported network, and draws them like MMPose.

    Args:
        file: The network, as :func:`mmpose_lite.deploy.export` wrote it.
        detector: Finds boxes where none are given; the whole image is one person
            without.
        threads: Of the engine that runs the network.

    Attributes:
        visualizer: MMPose's, knowing the network's keypoints.

    Raises:
        ImportError: If the engine is not installed.
        OSError: If a file of the network is missing.
        ValueError: If a file is not what was exported.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        detector: Detector | None = None,
        threads: int = 1,
    ) -> None:
        self.runtime = deploy.PoseRuntime(file, threads=threads)
        self.detector = detector
        contract = self.runtime.contract
        self.visualizer = PoseLocalVisualizer()
        self.visualizer.set_dataset_meta(
            keypoint_meta(contract.keypoint_names, contract.skeleton)
        )

    def people(
        self, image: np.ndarray, boxes: np.ndarray | None = None, threshold: float = 0.3
    ) -> PoseDataSample:
        """As of :class:`PoseInferencer`; with a flip test where the config has one."""
        if boxes is not None:
            boxes = as_boxes(boxes)
        elif self.detector is not None:
            boxes = self.detector(image, threshold)
        else:
            boxes = whole_image(image)
        contract = self.runtime.contract
        count = len(contract.keypoint_names)
        found = np.zeros((0, count, 2), np.float32), np.zeros((0, count), np.float32)
        if len(boxes):
            found = self.runtime(image, boxes[:, :4], flip_test=contract.flip_test)
        return as_sample(boxes, *found)


def keypoint_meta(
    names: Sequence[str], skeleton: Sequence[tuple[int, int]]
) -> Mapping[str, Any]:
    """A data set's description with what drawing needs, sides told by their names.

    Args:
        names: Of the keypoints, such as ``'left_knee'``.
        skeleton: Pairs of keypoints with a line between.
    """
    colours = [_colour(name) for name in names]
    return parse_pose_metainfo(
        dict(
            dataset_name='exported',
            keypoint_info={
                i: dict(name=name, id=i, color=list(colours[i]), type='', swap='')
                for i, name in enumerate(names)
            },
            skeleton_info={
                k: dict(
                    link=(names[i], names[j]),
                    id=k,
                    color=list(colours[i] if colours[i] == colours[j] else _MIDDLE),
                )
                for k, (i, j) in enumerate(skeleton)
            },
            joint_weights=[1.0] * len(names),
            sigmas=[],
        )
    )


def _colour(name: str) -> tuple[int, int, int]:
    side = name.lower().partition('_')[0]
    return {'left': _LEFT, 'right': _RIGHT}.get(side, _MIDDLE)
