"""What a network costs that no clock tells: the same on every machine."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from mmpose_lite.analysis import Traffic, count_macs, count_traffic
from mmpose_lite.deploy import list_passes

EXECUTED = (
    'torch.utils.flop_counter, halved: convolutions and matrix products as often as '
    'they run, attention in its plain form'
)
ONCE = (
    'the same, but what runs again with the same weights is not counted again, as in '
    'counters that visit each module once (torchstat; the figures of the papers)'
)


@dataclass(frozen=True)
class Costs:
    """Cost of one image.

    Attributes:
        params: Number of learnable values.
        macs: Multiply-accumulate operations that are executed, see ``EXECUTED``.
        macs_once: The same counted once per weight, see ``ONCE``.
        operators: ATen operators that are executed.
        megabytes: Of all tensors that they read or write, in units of 10^6.
    """

    params: int
    macs: int
    macs_once: int
    operators: int
    megabytes: float


class _Once(TorchDispatchMode):
    """Counts each product with a weight when it runs first."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.weights = weights
        self.seen: set[tuple[Any, ...]] = set()
        self.flops = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is None:
            return result
        tensors = [a for a in args if isinstance(a, Tensor)]
        # A product with a slice of a weight is another one than with the whole.
        key = tuple(
            (t.data_ptr(), t.shape)
            for t in tensors
            if t.untyped_storage().data_ptr() in self.weights
        )
        if not key or key not in self.seen:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
        self.seen.add(key)
        return result


def count_macs_once(model: nn.Module, run: Callable[[], object]) -> int:
    """Count the MACs of one call, those with the same weights once, see ``ONCE``."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _Once(weights) as counter:
        run()
    return counter.flops // 2


def count_costs(estimator: nn.Module, image: Tensor) -> Costs:
    """Count everything for one image in eval mode.

    Args:
        estimator: A pose estimator of MMPose in eval mode.
        image: ``(1, 3, H, W)``.
    """

    def run() -> object:
        return estimator(image, None, mode='tensor')

    traffic = sum(count_traffic(run).values(), Traffic())
    return Costs(
        params=sum(p.numel() for p in estimator.parameters()),
        macs=count_macs(run),
        macs_once=count_macs_once(estimator, run),
        operators=traffic.operators,
        megabytes=traffic.megabytes,
    )


def rewritten(estimator: nn.Module, steps: int, **options: Any) -> nn.Module:
    """A copy after the first rewrites of ``deploy.optimize``, in eval mode.

    Args:
        estimator: Left as it is.
        steps: How many rewrites.
        **options: Of ``deploy.rewrites``.
    """
    model = copy.deepcopy(estimator)
    model.eval()
    model.requires_grad_(False)
    with torch.no_grad():
        for rewrite in list(list_passes(**options).values())[:steps]:
            model = rewrite(model)
            model.eval()
            model.requires_grad_(False)
    return model
