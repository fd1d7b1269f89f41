"""MPII as the research codes train on it."""

from __future__ import annotations

from mmpose.datasets.datasets.body import MpiiDataset

from ..registry import DATASETS
from .data_guard.datasets import explained


class ZeroBasedMpiiDataset(MpiiDataset):
    """MPII for training, with keypoints that count pixels from 0.

    MPII counts from 1. MMPose 1.x takes that off the centres of people only, and its
    metric adds it to predictions: a network that is trained on ``MpiiDataset`` is
    judged one pixel off. Tests keep ``MpiiDataset``, as the metric wants it.
    """

    def _load_annotations(self) -> tuple[list[dict], list[dict]]:
        instances, images = super()._load_annotations()
        for instance in instances:
            instance['keypoints'] = instance['keypoints'] - 1
        return instances, images


DATASETS.register_module(
    'ZeroBasedMpiiDataset', module=explained(ZeroBasedMpiiDataset), force=True
)
