"""A pose estimator whose loss knows what its network costs."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.model.averaged_model import BaseAveragedModel
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
from ..models.backbones.hrnas_arch import (
    BlockArch,
    dump_arch,
    full_arch,
    infer_arch,
    parse_arch,
)
from ..models.layers.config_rules import INIT_CFG
from ..registry import register_model
from .costs import THRESHOLD, CostModel, MacsCost, ResourcePenalty
from .latency import LatencyCost
from .shrinking import Masks, decide, discard, follow, planned_arch, shrink

ARCH_KEY = 'hrnas_arch'
"""Name of the architecture in a checkpoint's ``meta``."""
FLOOR = 0.95
"""A search for a target ends between this share of it and all of it."""
_PREPROCESSOR = config_of(MODELS.get, 'a data preprocessor')
_MODULE = Rule('a module', lambda value: isinstance(value, nn.Module))


@register_model
class SearchablePoseEstimator(TopdownPoseEstimator):
    """MMPose's top-down estimator with a penalty on resources among its losses.

    The penalty appears in the log as ``loss_resource``; its weight is set by
    :class:`~mmpose_lite.training.PenaltyHook` and is 0 without it. What a search
    removes is decided and cut here (:meth:`search_step`); when, the hook says.

    Args:
        resource: What to economise: ``input_size`` (W, H); ``cost``, ``'macs'`` (if
            left out) or the path of a latency table; ``target``, ``dict(macs=…)`` or
            ``dict(latency_ms=…)``: where a search is to end. None for a network that
            has been found: nothing is economised.
        **options: See ``TopdownPoseEstimator``; the backbone must be an ``HRNASNet``.
    """

    @checked(
        resource=NOTHING | MAPPING,
        backbone=config_of(MODELS.get, 'a backbone'),
        neck=NOTHING | config_of(MODELS.get, 'a neck'),
        head=config_of(MODELS.get, 'a head'),
        train_cfg=NOTHING | MAPPING,
        test_cfg=NOTHING | MAPPING,
        data_preprocessor=NOTHING | _PREPROCESSOR | _MODULE,
        init_cfg=INIT_CFG,
        metainfo=NOTHING | MAPPING,
    )
    def __init__(self, resource: Mapping[str, Any] | None, **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(self.backbone, HRNASNet):
            raise ValueError(
                'backbone must be an HRNASNet for a search, got '
                f'{type(self.backbone).__name__}'
            )
        width = self.backbone.space.head_channels
        given = getattr(getattr(self, 'head', None), 'in_channels', width)
        # With a neck between them only it knows.
        if not self.with_neck and isinstance(given, int) and given != width:
            raise ValueError(
                f"head in_channels must be the backbone's head_channels {width}, got "
                f'{given}'
            )
        self.is_search = resource is not None
        self.penalty_weight = 0.0
        if resource is None:
            return
        if not {'input_size'} <= set(resource) <= {'input_size', 'cost', 'target'}:
            raise ValueError(
                "resource must have 'input_size' (W, H) and may have 'cost' and "
                f"'target', got {dict(resource)}"
            )
        check("resource['input_size']", resource['input_size'], each(whole(1), 2))
        width, height = (int(side) for side in resource['input_size'])
        self.input_size = (width, height)
        cost = resource.get('cost', 'macs')
        if cost == 'macs':
            self.cost_model: CostModel = MacsCost((height, width))
        elif isinstance(cost, str) and cost.endswith('.json'):
            self.cost_model = LatencyCost.from_file(cost, (height, width))
        else:
            raise ValueError(
                "resource['cost'] must be 'macs' or the path of a latency table "
                f'(.json), got {cost!r}'
            )
        self.target = self._read_target(resource.get('target'))
        self.penalty = ResourcePenalty(self.backbone, self.cost_model)

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        """Losses of the head, and the penalty."""
        losses = super().loss(inputs, data_samples)
        if self.is_search:
            penalty = self.penalty(self.backbone)
            losses['loss_resource'] = self.penalty_weight * penalty
        return losses

    def cost(self, arch: list | None = None) -> float:
        """Cost of the whole model now, or with another architecture.

        In MACs the head counts; a latency table holds the backbone alone.
        """
        arch = self.backbone.arch if arch is None else arch
        cost = self.cost_model.network(self.backbone.space, arch)
        return cost + self.cost_beside_backbone

    def _read_target(self, target: Mapping[str, float] | None) -> float | None:
        if target is None:
            return None
        units = dict(macs='MACs', latency_ms='ms')
        name = next(iter(target), '') if isinstance(target, Mapping) else ''
        if name not in units or len(target) > 1:
            raise ValueError(
                "resource['target'] must be dict(macs=…) or dict(latency_ms=…), got "
                f'{target!r}'
            )
        value = target[name]
        if units[name] != self.cost_model.unit:
            raise ValueError(
                f"resource['target'] {name} needs a cost in {units[name]}, but "
                f"resource['cost'] counts {self.cost_model.unit}"
            )
        least = self.cost([BlockArch((), ()) for _ in self.backbone.places])
        wanted = f'more than what no search can remove, {least:.4g}'
        rule = replace(number(above=least), wanted=wanted)
        check(f"resource['target'] {name}", value, rule)
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
        channels = self.backbone.space.head_channels
        device = next(self.head.parameters()).device
        feat = torch.zeros(1, channels, -(-height // 4), -(-width // 4), device=device)
        was_training = self.head.training
        self.head.eval()
        macs = count_macs(lambda: self.head.forward((feat,)))
        self.head.train(was_training)
        return float(macs)

    def search_step(
        self,
        progress: float,
        optimizer: torch.optim.Optimizer,
        average: BaseAveragedModel | None = None,
        *,
        threshold: float = THRESHOLD,
        min_saving: float = 0,
        tokens: bool = True,
    ) -> bool:
        """Cut what is dead, and what a target asks for; whether anything was.

        All processes do what the first decides. The parameters stay the same objects;
        whatever keeps their sizes (a distributed wrapper) must be made anew.

        Args:
            progress: Part of the search that is over, in (0, 1]. With a target the
                network may now cost ``(target / full_cost) ** progress`` of the
                supernet.
            optimizer, average: What is cut along.
            threshold: Importance up to which a channel or token is dead.
            min_saving: Share of the supernet's cost below which nothing is done, except
                at the end and for a target.
            tokens: Whether tokens may leave, which changes the function.
        """
        full, cap = self.full_cost, math.inf
        if self.target is not None:
            cap = full * min(self.target / full, 1.0) ** progress
        decided: list[Any] = [None]
        if is_main_process():
            beside = self.cost_beside_backbone
            decided[0] = decide(
                self.backbone,
                self.cost_model,
                averaged=None if average is None else average.module.backbone,
                threshold=threshold,
                cap=cap - beside,
                floor=FLOOR * (self.target or 0) - beside,
                tokens=tokens,
            )
        broadcast_object_list(decided)
        masks: Masks = decided[0]
        planned, before = planned_arch(self.backbone, masks), self.cost()
        saves_enough = before - self.cost(planned) >= min_saving * full
        is_due = progress == 1 or before > cap or saves_enough
        if planned == self.backbone.arch or not is_due:
            return False
        follow(optimizer, shrink(self.backbone, masks))
        if average is not None:
            shrink(average.module.backbone, masks)
            _refresh(average)
        return True

    def take_on(
        self,
        checkpoint: Mapping[str, Any],
        optimizer: torch.optim.Optimizer | None = None,
        average: BaseAveragedModel | None = None,
    ) -> None:
        """Take on the architecture of a checkpoint that is about to be loaded.

        The optimizer loses the parameters that leave.
        """
        stored = stored_arch(self.backbone, checkpoint)
        if stored is None or stored == self.backbone.arch:
            return
        self.backbone.reshape(stored)
        if average is not None:
            average.module.backbone.reshape(stored)
            _refresh(average)
        if isinstance(optimizer, torch.optim.Optimizer):
            present = {id(parameter) for parameter in self.parameters()}
            known = [p for group in optimizer.param_groups for p in group['params']]
            discard(optimizer, [p for p in known if id(p) not in present])

    def describe(self) -> dict:
        """The present architecture, ready for JSON."""
        return dump_arch(self.backbone.space, self.backbone.arch, self.input_size)


def _refresh(average: BaseAveragedModel) -> None:
    """Look up the averaged tensors again after the module changed its shape."""
    module = average.module
    average.avg_parameters = (
        module.state_dict()
        if average.update_buffers
        else dict(module.named_parameters())
    )


def stored_arch(
    backbone: HRNASNet, checkpoint: Mapping[str, Any]
) -> list[BlockArch] | None:
    """The architecture of a checkpoint: its shapes say it, its notes must agree.

    None if it has no weights of a backbone of this space.

    Raises:
        ValueError: If they do not agree (the message names both).
    """
    weights = checkpoint.get('state_dict', checkpoint)
    weights = {key.removeprefix('module.'): value for key, value in weights.items()}
    names = [name for name, _ in backbone.named_blocks()]
    found = infer_arch(weights, [f'backbone.{name}' for name in names])
    noted = (checkpoint.get('meta') or {}).get(ARCH_KEY)
    if found is None or noted is None:
        return found
    rows = zip(names, found, parse_arch(backbone.space, noted['blocks']), strict=True)
    differing = [f'\n  {name}: shapes {a}, meta {b}' for name, a, b in rows if a != b]
    if differing:
        raise ValueError(
            'the checkpoint contradicts itself: its weights have another architecture '
            f"than its meta['{ARCH_KEY}'], in {len(differing)} blocks:"
            f'{"".join(differing)}'
        )
    return found
