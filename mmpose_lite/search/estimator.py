"""A pose estimator whose loss knows what its network costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from mmpose.models.pose_estimators.topdown import TopdownPoseEstimator
from torch import Tensor

from ..analysis import count_macs
from ..models.backbones import HRNASNet
from ..models.backbones.hrnas_arch import dump_arch, full_arch
from ..registry import register_model
from .costs import CostModel, MacsCost
from .penalty import ResourcePenalty


@register_model
class SearchablePoseEstimator(TopdownPoseEstimator):
    """MMPose's top-down estimator with a penalty on resources among its losses.

    The penalty appears in the log as ``loss_resource``; its weight is set by
    :class:`~mmpose_lite.engine.PenaltyHook` and is 0 without it.

    Args:
        resource: What to economise: ``input_size`` (W, H), ``cost``: ``'macs'`` or the
            path of a latency table. Required.
        **options: See ``TopdownPoseEstimator``; the backbone must be an ``HRNASNet``.

    Raises:
        ValueError: If ``resource`` or the backbone does not fit.
    """

    def __init__(self, resource: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(self.backbone, HRNASNet):
            raise ValueError(
                'backbone must be an HRNASNet for a search, got '
                f'{type(self.backbone).__name__}'
            )
        if not {'input_size'} <= set(resource) <= {'input_size', 'cost'}:
            raise ValueError(
                "resource must have 'input_size' (W, H) and may have 'cost', got "
                f'{dict(resource)}'
            )
        width, height = resource['input_size']
        self.input_size = (int(width), int(height))
        self.cost_model = build_cost(resource.get('cost', 'macs'), (height, width))
        self.penalty = ResourcePenalty(self.backbone, self.cost_model)
        self.penalty_weight = 0.0
        self._beside: float | None = None

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Losses of the head, and the penalty."""
        losses = super().loss(inputs, data_samples)
        losses['loss_resource'] = self.penalty_weight * self.penalty(self.backbone)
        return losses

    def cost(self, arch: list | None = None) -> float:
        """Cost of the whole model now, or with another architecture.

        In MACs the head counts; a latency table holds the backbone alone.
        """
        arch = self.backbone.arch if arch is None else arch
        cost = self.cost_model.network(self.backbone.space, arch)
        return cost + self.cost_beside_backbone

    @property
    def full_cost(self) -> float:
        """Cost of the supernet."""
        return self.cost(full_arch(self.backbone.space))

    @property
    def cost_beside_backbone(self) -> float:
        """What the search cannot change, beside the stem."""
        if self._beside is None:
            self._beside = 0.0
            if isinstance(self.cost_model, MacsCost) and self.with_head:
                self._beside = float(self._head_macs())
        return self._beside

    def _head_macs(self) -> int:
        width, height = self.input_size
        reference = next(self.head.parameters())
        feat = torch.zeros(
            1,
            self.backbone.space.head_channels,
            -(-height // 4),
            -(-width // 4),
            device=reference.device,
        )
        was_training = self.head.training
        self.head.eval()
        macs = count_macs(lambda: self.head.forward((feat,)))
        self.head.train(was_training)
        return macs

    def describe(self) -> dict:
        """The present architecture, ready for JSON."""
        return dump_arch(self.backbone.space, self.backbone.arch, self.input_size)


def build_cost(cost: str, image_size: tuple[int, int]) -> CostModel:
    """Cost model by name, or from a latency table's path.

    Raises:
        ValueError: If it is neither.
    """
    if cost == 'macs':
        return MacsCost(image_size)
    if isinstance(cost, str) and cost.endswith('.json'):
        from .latency import LatencyCost

        return LatencyCost.from_file(cost, image_size)
    raise ValueError(
        f"resource['cost'] must be 'macs' or the path of a latency table (.json), got "
        f'{cost!r}'
    )
