"""How much a search punishes cost, and when."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from ...checks import checked, number
from ...registry import register_hook
from ..models_of import searched_model


@register_hook
class PenaltyHook(Hook):
    """Weight of the resource penalty: linear from 0, then constant.

    A network within its target (``resource`` of the model) is no longer punished, so
    that it can train in peace. Everything is a function of the iteration and the
    network: a resumed run needs no state.

    Args:
        weight: Weight at the end of the ramp; HR-NAS uses 1e-6 for key points.
        begin: Epoch at which the ramp begins.
        end: Epoch at which it ends.

    Raises:
        ValueError: If ``weight`` is negative or ``end`` lies before ``begin``.
    """

    priority = 'NORMAL'

    @checked(weight=number(0), begin=number(0), end=number(0))
    def __init__(self, weight: float = 1e-6, begin: float = 0, end: float = 25) -> None:
        if not 0 <= begin <= end:
            raise ValueError(f'begin {begin} and end {end} must be 0 <= begin <= end')
        self.weight = weight
        self.begin, self.end = begin, end
        self._is_done = False

    def before_train_epoch(self, runner: Runner) -> None:
        """See whether the target is reached."""
        model = searched_model(runner)
        self._is_done = model.target is not None and model.cost() <= model.target

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None
    ) -> None:
        """Set the weight for this iteration."""
        epoch = runner.iter / len(runner.train_dataloader)
        span = self.end - self.begin
        ramp = (epoch - self.begin) / span if span else float(epoch >= self.begin)
        weight = 0.0 if self._is_done else self.weight * min(max(ramp, 0.0), 1.0)
        searched_model(runner).penalty_weight = weight
