"""How much a search punishes cost, and when."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...registry import register_hook
from ...search import SearchablePoseEstimator
from ..models_of import searched_model


@register_hook
class PenaltyHook(Hook):
    """Weight of the resource penalty: linear from 0, then constant.

    A network that costs no more than ``target`` is no longer punished, so that it can
    train in peace. Everything is a function of the iteration and the network: a resumed
    run needs no state.

    Args:
        weight: Weight at the end of the ramp; HR-NAS uses 1e-6 for key points.
        begin: Epoch at which the ramp begins.
        end: Epoch at which it ends.
        target: See :class:`ShrinkHook`; None punishes to the end.

    Raises:
        ValueError: If ``weight`` is negative or ``end`` lies before ``begin``.
    """

    priority = 'NORMAL'

    def __init__(
        self,
        weight: float = 1e-6,
        begin: float = 0,
        end: float = 25,
        target: Any = None,
    ) -> None:
        if weight < 0:
            raise ValueError(f'weight must not be negative, got {weight}')
        if not 0 <= begin <= end:
            raise ValueError(f'begin {begin} and end {end} must be 0 <= begin <= end')
        self.weight = weight
        self.begin, self.end = begin, end
        self.target = target
        self._is_done = False

    def before_train_epoch(self, runner: Runner) -> None:
        """See whether the target is reached."""
        model = searched_model(runner)
        limit = None if self.target is None else target_cost(self.target, model)
        self._is_done = limit is not None and model.cost() <= limit

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Set the weight for this iteration."""
        epoch = runner.iter / len(runner.train_dataloader)
        span = self.end - self.begin
        ramp = (epoch - self.begin) / span if span else float(epoch >= self.begin)
        weight = 0.0 if self._is_done else self.weight * min(max(ramp, 0.0), 1.0)
        searched_model(runner).penalty_weight = weight


def target_cost(target: dict, model: SearchablePoseEstimator) -> float:
    """The number that a target asks for, in the unit of the model's cost.

    Raises:
        ValueError: If it is no target, or in another unit than the model counts.
    """
    unit = dict(macs='MACs', latency_ms='ms')
    if not isinstance(target, dict) or len(target) != 1 or not set(target) <= set(unit):
        raise ValueError(
            f'target must be dict(macs=…) or dict(latency_ms=…), got {target!r}'
        )
    ((name, value),) = target.items()
    if unit[name] != model.cost_model.unit:
        raise ValueError(
            f"target {name} needs a cost in {unit[name]}, but resource['cost'] counts "
            f'{model.cost_model.unit}'
        )
    if not model.cost_beside_backbone < value:
        raise ValueError(f'target {name} must be positive and reachable, got {value}')
    return float(value)
