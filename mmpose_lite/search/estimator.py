"""A pose estimator whose loss knows what its network costs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from mmpose.models.pose_estimators.topdown import TopdownPoseEstimator
from mmpose.registry import MODELS
from torch import Tensor, nn

from ..analysis import count_macs
from ..checks import (
    MAPPING,
    NOTHING,
    Rule,
    check,
    checked,
    config_of,
    each,
    number,
    whole,
)
from ..models.backbones import HRNASNet
from ..models.backbones.hrnas_arch import BlockArch, dump_arch, full_arch
from ..models.layers.config_rules import INIT_CFG
from ..registry import register_model
from .costs import CostModel, MacsCost
from .penalty import ResourcePenalty

_PREPROCESSOR = config_of(MODELS.get, 'a data preprocessor')
_MODULE = Rule('a module', lambda value: isinstance(value, nn.Module))


@register_model
class SearchablePoseEstimator(TopdownPoseEstimator):
    """MMPose's top-down estimator with a penalty on resources among its losses.

    The penalty appears in the log as ``loss_resource``; its weight is set by
    :class:`~mmpose_lite.training.PenaltyHook` and is 0 without it.

    Args:
        resource: What to economise: ``input_size`` (W, H); ``cost``, ``'macs'`` (if
            left out) or the path of a latency table; ``target``, ``dict(macs=…)`` or
            ``dict(latency_ms=…)``: where a search is to end.
        **options: See ``TopdownPoseEstimator``; the backbone must be an ``HRNASNet``.

    Raises:
        ValueError: If ``resource`` or the backbone does not fit.
    """

    @checked(
        resource=MAPPING,
        backbone=config_of(MODELS.get, 'a backbone'),
        neck=NOTHING | config_of(MODELS.get, 'a neck'),
        head=config_of(MODELS.get, 'a head'),
        train_cfg=NOTHING | MAPPING,
        test_cfg=NOTHING | MAPPING,
        data_preprocessor=NOTHING | _PREPROCESSOR | _MODULE,
        init_cfg=INIT_CFG,
        metainfo=NOTHING | MAPPING,
    )
    def __init__(self, resource: Mapping[str, Any], **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(self.backbone, HRNASNet):
            raise ValueError(
                'backbone must be an HRNASNet for a search, got '
                f'{type(self.backbone).__name__}'
            )
        if not {'input_size'} <= set(resource) <= {'input_size', 'cost', 'target'}:
            raise ValueError(
                "resource must have 'input_size' (W, H) and may have 'cost' and "
                f"'target', got {dict(resource)}"
            )
        check("resource['input_size']", resource['input_size'], each(whole(1), 2))
        width, height = resource['input_size']
        self._check_head()
        self.input_size = (int(width), int(height))
        self.cost_model = build_cost(resource.get('cost', 'macs'), (height, width))
        self.target = self._read_target(resource.get('target'))
        self.penalty = ResourcePenalty(self.backbone, self.cost_model)
        self.penalty_weight = 0.0

    def _check_head(self) -> None:
        """Refuse a head of another width; with a neck between them only it knows."""
        width = self.backbone.space.head_channels
        given = getattr(getattr(self, 'head', None), 'in_channels', width)
        if not self.with_neck and isinstance(given, int) and given != width:
            raise ValueError(
                f"head in_channels must be the backbone's head_channels {width}, got "
                f'{given}'
            )

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

    def _read_target(self, target: Mapping[str, float] | None) -> float | None:
        """The number that a target asks for, in the unit of the cost."""
        if target is None:
            return None
        units = dict(macs='MACs', latency_ms='ms')
        if not isinstance(target, Mapping) or [*target] not in [[u] for u in units]:
            raise ValueError(
                "resource['target'] must be dict(macs=…) or dict(latency_ms=…), got "
                f'{target!r}'
            )
        ((name, value),) = target.items()
        check(f"resource['target'] {name}", value, number())
        if units[name] != self.cost_model.unit:
            raise ValueError(
                f"resource['target'] {name} needs a cost in {units[name]}, but "
                f"resource['cost'] counts {self.cost_model.unit}"
            )
        empty = [BlockArch((), ()) for _ in self.backbone.places]
        if not self.cost(empty) < value:
            raise ValueError(
                f"resource['target'] {name} must be more than what no search can "
                f'remove, {self.cost(empty):.4g}, got {value}'
            )
        return float(value)

    @property
    def full_cost(self) -> float:
        """Cost of the supernet."""
        return self.cost(full_arch(self.backbone.space))

    @functools.cached_property
    def cost_beside_backbone(self) -> float:
        """What the head costs; 0 for a latency table."""
        if not isinstance(self.cost_model, MacsCost) or not self.with_head:
            return 0.0
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
        return float(macs)

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
