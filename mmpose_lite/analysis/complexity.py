"""Parameters and MACs of a network, counted while it runs once in eval mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry


@dataclass(frozen=True)
class Complexity:
    """Cost of one forward pass.

    Attributes:
        params: Number of learnable values.
        macs: Multiply-accumulate operations of convolutions and matrix products on one
            image, half of what ``torch.utils.flop_counter`` counts. Norms, activations,
            pooling and other element-wise work are not part of it.
    """

    params: int
    macs: int


@contextmanager
def _plain_operators() -> Iterator[None]:
    """Attention in its plain form; counters know no formula of the fused ones.

    torch's own transformer layers take a fused path in eval mode without gradients,
    which torch 2.13 counts as 0 (seen with FlopCounterMode).
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def count_macs(run: Callable[[], object]) -> int:
    """Count the MACs of one call, see :class:`Complexity`; no gradients are kept."""
    with _plain_operators(), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops()) // 2


class _CountOnce(TorchDispatchMode):
    """Counts each product with a weight when it runs first."""

    def __init__(self, weights: set[int]) -> None:
        super().__init__()
        self.weights = weights
        self.seen: set[tuple[Any, ...]] = set()
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        formula = flop_registry.get(func.overloadpacket)
        if formula is None:
            return result
        # A product with a slice of a weight is another one than with the whole.
        key = tuple(
            (t.data_ptr(), t.shape)
            for t in args
            if isinstance(t, Tensor) and t.untyped_storage().data_ptr() in self.weights
        )
        if not key or key not in self.seen:
            self.flops += formula(*args, **kwargs, out_val=result)
        self.seen.add(key)
        return result


def count_macs_once(model: nn.Module, run: Callable[[], object]) -> int:
    """Count the MACs of one call of a model, those with the same weights once.

    So count tools that visit each module once, and so most papers.
    """
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    with _plain_operators(), _CountOnce(weights) as counter:
        run()
    return counter.flops // 2


def complexity(
    model: nn.Module, image_size: tuple[int, int], in_channels: int = 3
) -> Complexity:
    """Count parameters and MACs for one image.

    Args:
        model: A module whose ``forward`` takes an image batch, or a pose estimator of
            MMPose. Its mode is restored afterwards.
        image_size: Height and width of the image in pixels.

    Raises:
        ValueError: If ``image_size`` is not two positive numbers.
    """
    if len(image_size) != 2 or min(image_size) < 1:
        raise ValueError(
            f'image_size must be two positive numbers (H, W), got {image_size!r}'
        )
    weight = next(model.parameters())
    image = weight.new_zeros(1, in_channels, *image_size)
    # A pose estimator's forward wants data samples too; this is its plain twin.
    run = getattr(model, '_forward', model)
    was_training = model.training
    model.eval()
    try:
        macs = count_macs(lambda: run(image))
    finally:
        model.train(was_training)
    return Complexity(sum(p.numel() for p in model.parameters()), macs)
