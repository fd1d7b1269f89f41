"""What a network of searching blocks costs, computed from its architecture alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from ..checks import check, each, whole
from ..models.backbones.hrnas_arch import BlockArch, Place, SearchSpace, places
from ..models.layers.light_transformer import WIDTH

_SIZE = replace(each(whole(1), 2), wanted='two positive numbers (H, W), whole')


class CostModel(ABC):
    """Cost of a network as a sum over its parts.

    Args:
        image_size: Height and width of the image in pixels.

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
        whole, half = (
            Place(0, 0, 2, level).sizes(self.image_size)[1] for level in (-2, -1)
        )
        return 9 * (
            3 * first * whole[0] * whole[1] + first * second * half[0] * half[1]
        )

    def shortcut(self, place: Place) -> float:
        """Nothing, or the grouped 1x1 convolution."""
        if place.is_residual:
            return 0
        _, (height, width) = place.sizes(self.image_size)
        return place.out_channels * place.group_width * height * width

    def op(self, place: Place, kernel: int, channels: int) -> float:
        """Expansion at the size of the input, the rest at that of the output."""
        before, after = (h * w for h, w in place.sizes(self.image_size))
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
        """Linear part spread over the tokens that are there, attention at the living.

        Args:
            place: Where the block stands.
            tokens: Tokens at the start of the search.
            living: Tokens whose importance is above the threshold.
        """
        linear = self.transformer(place, tokens) - 2 * WIDTH * tokens**2
        attention = 2 * WIDTH * (living**2 - max(living - 1, 0) ** 2)
        return linear / tokens + attention
