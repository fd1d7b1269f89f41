"""Parameters and MACs of a network, counted while it runs once in eval mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


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


def count_macs(run: Callable[[], object]) -> int:
    """Count the MACs of one call, see :class:`Complexity`; no gradients are kept."""
    # Fused attention is invisible to the counter; its plain form is not.
    with (
        torch.no_grad(),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        run()
    return int(counter.get_total_flops()) // 2


def complexity(
    model: nn.Module, image_size: tuple[int, int], in_channels: int = 3
) -> Complexity:
    """Count parameters and MACs for one image.

    Args:
        model: A module whose ``forward`` takes an image batch, or a pose estimator of
            MMPose. Its mode is restored afterwards.
        image_size: Height and width of the image in pixels.
        in_channels: Channels of the image.

    Raises:
        ValueError: If ``image_size`` is not two positive numbers.
    """
    if len(image_size) != 2 or min(image_size) < 1:
        raise ValueError(
            f'image_size must be two positive numbers (H, W), got {image_size!r}'
        )
    weight = next(model.parameters())
    image = torch.zeros(
        1, in_channels, *image_size, dtype=weight.dtype, device=weight.device
    )
    # A pose estimator's forward wants data samples too; this is its plain twin.
    run = getattr(model, '_forward', model)
    was_training = model.training
    model.eval()
    try:
        macs = count_macs(lambda: run(image))
    finally:
        model.train(was_training)
    params = sum(p.numel() for p in model.parameters())
    return Complexity(params=params, macs=macs)
