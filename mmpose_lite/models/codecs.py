"""Heatmaps of research codes that MMPose has no codec for."""

from __future__ import annotations

import numpy as np
from mmpose.codecs import UDPHeatmap
from mmpose.registry import KEYPOINT_CODECS


@KEYPOINT_CODECS.register_module(force=True)
class CenteredUDPHeatmap(UDPHeatmap):
    """UDP heatmaps as TokenPose's code has them: one factor, about the middle.

    From input to heatmap MMPose's ``UDPHeatmap`` has a factor for each axis, so that
    the corners of both coincide. TokenPose's code takes that of the width for both; of
    inputs that are not square the heatmap's first and last rows then lie 0.4 % of the
    height elsewhere. Only Gaussian maps; arguments are those of ``UDPHeatmap``, sizes
    are (w, h), px.
    """

    def encode(
        self, keypoints: np.ndarray, keypoints_visible: np.ndarray | None = None
    ) -> dict:
        """Heatmaps ``(K, h, w)`` and weights of keypoints ``(1, K, 2)``, input px."""
        middle = (np.array(self.input_size) - 1) / 2
        ratio = self.scale_factor / self.scale_factor[0]
        return super().encode((keypoints - middle) * ratio + middle, keypoints_visible)

    def decode(self, encoded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Keypoints ``(1, K, 2)`` in input px, and their scores ``(1, K)``."""
        keypoints, scores = super().decode(encoded)
        middle = np.array(self.input_size) / 2
        ratio = self.scale_factor[0] / self.scale_factor
        return (keypoints - middle) * ratio + middle, scores
