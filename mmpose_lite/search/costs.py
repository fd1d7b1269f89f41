"""What a network of searching blocks costs, and the penalty on it that a search has."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..checks import check, each, whole
from ..models.backbones import HRNASNet
from ..models.backbones.hrnas_arch import (
    BlockArch,
    Place,
    SearchSpace,
    full_arch,
    places,
)
from ..models.layers.light_transformer import WIDTH

THRESHOLD = 1e-3
"""An importance of at most this is dead."""
_SIZE = replace(each(whole(1), 2), wanted='two positive numbers (H, W), whole')


class CostModel(ABC):
    """Cost of a network as a sum over its parts, for images of ``(H, W)``.

    Attributes:
        unit: What the numbers mean, for logs.
        multiple: Hidden widths that are no multiple of it cost as much as the next one.
    """

    unit: str
    multiple: int = 1

    def __init__(self, image_size: Sequence[int]) -> None:
        check('image_size', image_size, _SIZE)
        self.image_size = (int(image_size[0]), int(image_size[1]))

    @abstractmethod
    def stem(self, space: SearchSpace) -> float:
        """Cost of the two convolutions before all blocks."""

    @abstractmethod
    def shortcut(self, place: Place) -> float:
        """Cost of a block that has nothing left."""

    @abstractmethod
    def op(self, place: Place, kernel: int, channels: int) -> float:
        """Cost of the convolutions of one kernel size; 0 for no channels."""

    @abstractmethod
    def transformer(self, place: Place, tokens: int) -> float:
        """Cost of a transformer; 0 for no tokens."""

    def channel(self, place: Place, kernel: int, channels: int) -> float:
        """What the last of ``channels`` hidden channels costs."""
        channels = max(channels, 1)
        return self.op(place, kernel, channels) - self.op(place, kernel, channels - 1)

    def token(self, place: Place, tokens: int, living: int) -> float:
        """What the last of ``living`` tokens costs; ``tokens`` are there by now."""
        living = max(living, 1)
        return self.transformer(place, living) - self.transformer(place, living - 1)

    def block(self, place: Place, arch: BlockArch) -> float:
        """Cost of a searching block."""
        ops = sum(
            self.op(place, kernel, channels)
            for kernel, channels in zip(arch.kernels, arch.channels, strict=True)
        )
        return self.shortcut(place) + ops + self.transformer(place, arch.tokens)

    def network(self, space: SearchSpace, arch: Sequence[BlockArch]) -> float:
        """Cost of the whole backbone."""
        blocks = zip(places(space), arch, strict=True)
        return self.stem(space) + sum(self.block(*pair) for pair in blocks)


class MacsCost(CostModel):
    """Multiply-accumulate operations, as :func:`analysis.count_macs` counts them."""

    unit = 'MACs'

    def stem(self, space: SearchSpace) -> float:
        """Two 3x3 convolutions with stride 2."""
        first, second = space.stem_channels
        sizes = (Place(0, 0, 2, level).sizes(self.image_size)[1] for level in (-2, -1))
        after_first, after_second = map(math.prod, sizes)
        return 9 * first * (3 * after_first + second * after_second)

    def shortcut(self, place: Place) -> float:
        """Nothing, or the grouped 1x1 convolution."""
        if place.is_residual:
            return 0
        pixels = math.prod(place.sizes(self.image_size)[1])
        return place.out_channels * place.group_width * pixels

    def op(self, place: Place, kernel: int, channels: int) -> float:
        """Expansion at the size of the input, the rest at that of the output."""
        before, after = map(math.prod, place.sizes(self.image_size))
        return channels * (
            place.in_channels * before + (kernel**2 + place.out_channels) * after
        )

    def transformer(self, place: Place, tokens: int) -> float:
        """Both 1x1 convolutions, twelve square matrices a token, two attentions."""
        ends = place.in_channels + 2 + place.out_channels
        return WIDTH * tokens * (ends + 12 * WIDTH + 4 * tokens)


class PublishedMacsCost(MacsCost):
    """MACs as HR-NAS's profiler saw them, for comparison with published figures.

    It missed the decoder's attention and counted each linear layer once instead of once
    per token; the paper's runs also profiled at 224x224 whatever the training's size.
    """

    def transformer(self, place: Place, tokens: int) -> float:
        """Total of the profiler."""
        ends = place.in_channels + 2 + place.out_channels
        return tokens * (WIDTH * ends + 2 * WIDTH * tokens + 4 * WIDTH**2 + 4)

    def token(self, place: Place, tokens: int, living: int) -> float:
        """Linear part spread over all ``tokens``, attention at the living ones."""
        linear = self.transformer(place, tokens) - 2 * WIDTH * tokens**2
        attention = 2 * WIDTH * (living**2 - max(living - 1, 0) ** 2)
        return linear / tokens + attention


class ResourcePenalty:
    r"""Sum of importances, each weighted with what its channel or token costs.

    arXiv 2106.06560, section 3.3.

    .. math::
        P = \sum_b \alpha_b \sum_c |\gamma_{b, c}|, \qquad \alpha_b = C_b / \bar C

    The mean cost over all channels and tokens of the supernet makes the weights
    comparable between spaces and between MACs and milliseconds.

    Args:
        threshold: Tokens above it are living; an attention's cost depends on them.
    """

    def __init__(
        self, net: HRNASNet, cost: CostModel, threshold: float = THRESHOLD
    ) -> None:
        self.cost = cost
        self.threshold = threshold
        self.full = full_arch(net.space)
        total, count = 0.0, 0
        for place, arch in zip(places(net.space), self.full, strict=True):
            total += cost.block(place, arch) - cost.shortcut(place)
            count += sum(arch.channels) + arch.tokens
        self.mean = total / (count + 1e-5)

    def weights(self, net: HRNASNet) -> list[tuple[Tensor, float]]:
        """Importances of every kernel size and transformer, with their weight."""
        found: list[tuple[Tensor, float]] = []
        rows = zip(net.named_blocks(), net.places, self.full, strict=True)
        for (_, block), place, full in rows:
            gammas = block.importances()
            for kernel, gamma in zip(block.kernels, gammas, strict=False):
                cost = self.cost.channel(place, kernel, len(gamma))
                found.append((gamma, cost / self.mean))
            if block.tokens:
                living = int((gammas[-1].detach() > self.threshold).sum())
                cost = self.cost.token(place, full.tokens, living)
                found.append((gammas[-1], cost / self.mean))
        return found

    def __call__(self, net: HRNASNet) -> Tensor:
        """The penalty, differentiable in every importance."""
        terms = [w * gamma.abs().sum() for gamma, w in self.weights(net)]
        if not terms:  # nothing is left to punish
            return next(net.parameters()).new_zeros(())
        return torch.stack(terms).sum()
