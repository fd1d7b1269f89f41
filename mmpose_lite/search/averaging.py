"""Averaged weights as HR-NAS trains them."""

from __future__ import annotations

from typing import Any

from mmengine.model import ExponentialMovingAverage
from torch import Tensor, device, nn

from ..checks import FLAG, NOTHING, Rule, checked, number, whole
from ..registry import register_model


@register_model
class RampedAverage(ExponentialMovingAverage):
    r"""Moving average whose memory grows with the number of updates.

    After t updates the old average keeps the share
    :math:`\min(1 - m, (1 + t) / (10 + t))`: early on it follows the weights, later it
    averages about the last 11 % of all steps, until m binds.

    Args:
        momentum: The smallest share m of the new weights.
        **options: See ``ExponentialMovingAverage``. HR-NAS also averages the norms'
            statistics: ``update_buffers=True``.
    """

    @checked(
        model=Rule('a module', lambda value: isinstance(value, nn.Module)),
        momentum=number(above=0, below=1),
        interval=whole(1),
        device=NOTHING | Rule('a device of torch', lambda value: bool(device(value))),
        update_buffers=FLAG,
    )
    def __init__(
        self, model: nn.Module, momentum: float = 1e-4, **options: Any
    ) -> None:
        super().__init__(model, momentum=momentum, **options)

    def avg_func(
        self, averaged_param: Tensor, source_param: Tensor, steps: int
    ) -> None:
        """One update of one tensor in place."""
        t = int(steps)
        share = max(self.momentum, 1 - (1 + t) / (10 + t))
        averaged_param.lerp_(source_param.to(averaged_param.dtype), share)
