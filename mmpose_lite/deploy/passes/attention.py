"""Attention along one image axis in as few operators as it, or an engine, needs."""

from __future__ import annotations

from torch import Tensor, nn

from ...models.layers import SUSA, PerBranch
from .modules import OPEN, linear_layer, replace_modules, take


class AxisAttention(nn.Module):
    """SUSA as two products with the map, one with the channels, a norm and a gate.

    The position weight, the per-channel factor of the query and the mean are one
    product; the query's bias adds the same to all logits of a softmax and is left out.
    ``size`` is the extent of maps ``(B, C, H, W)`` along the axis, if always the same.
    """

    def __init__(self, layer: SUSA, size: int | None = None) -> None:
        super().__init__()
        self.axis = layer.axis
        self.across = 5 - layer.dim  # the other image axis
        self.size = size
        factor = layer.mean_conv.weight.data.view(1, -1, 1, 1)
        query = layer.group_weight.data * factor  # (1, C, size, 1) or (1, C, 1, size)
        query = query.transpose(2, 3)
        if size is not None:
            query = query.narrow(self.across, 0, size) / size
        self.query = nn.Parameter(query.contiguous())
        conv = layer.conv
        self.mix = linear_layer(conv.weight.data.flatten(1), conv.bias.data)
        self.norm = layer.ln

    def sized(self, x: Tensor) -> Tensor:
        """The query for a map's extent along the axis."""
        if self.size is not None:
            return self.query
        size = x.shape[5 - self.across]
        return self.query.narrow(self.across, 0, size) / size

    def gate(self, x: Tensor) -> Tensor:
        """Gate of every row, ``(B, C, H, 1)``, or column, ``(B, C, 1, W)``."""
        query = self.sized(x)
        if self.axis == 'h':
            logits = query @ x  # (1, C, 1, H) (B, C, H, W): (B, C, 1, W)
            value = x @ logits.softmax(3).transpose(2, 3)  # (B, C, H, 1)
            value = value.squeeze(3)
        else:
            logits = x @ query  # (B, C, H, W) (1, C, W, 1): (B, C, H, 1)
            value = logits.softmax(2).transpose(2, 3) @ x  # (B, C, 1, W)
            value = value.squeeze(2)
        gate = self.norm(self.mix(value.transpose(1, 2))).sigmoid_()  # (B, size, C)
        return gate.transpose(1, 2).unsqueeze(self.across)

    def product(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The map, and the gate yet to be multiplied."""
        return x, self.gate(x)

    def forward(self, x: Tensor) -> Tensor:
        """Gate every row or column."""
        return x * self.gate(x)

    def place(self, channels: Tensor) -> Tensor:
        """Put channel ``channels[p]`` into slot p; -1 passes through, gated by one.

        Norms keep their statistics among all slots: values are centred in advance, zero
        where a channel passes, and variances and the norm's epsilon scaled alike.
        """
        width, slots = self.mix.out_features, len(channels)
        weight, bias = self.mix.weight.data, self.mix.bias.data
        if slots != width:
            weight = weight - weight.mean(0)
            bias = bias - bias.mean()
        weight = take(take(weight, channels, 0), channels, 1)
        self.mix = linear_layer(weight, take(bias, channels, 0))
        norm = nn.LayerNorm(slots, eps=self.norm.eps * width / slots, device='meta')
        scaled = self.norm.weight.data * (width / slots) ** 0.5
        norm.weight = nn.Parameter(take(scaled, channels, 0))
        norm.bias = nn.Parameter(take(self.norm.bias.data, channels, 0, OPEN))
        self.norm = norm
        self.query = nn.Parameter(take(self.query.data, channels, 1))
        return channels


def fold_attention(
    model: nn.Module, image_size: tuple[int, int] | None = None
) -> nn.Module:
    """Fold the position weights and affine maps of SUSA into one product.

    ``image_size`` is the height and width of every image to come, if known: then the
    length of the mean is folded too, and images of another size fail.
    """
    branches = [module for module in model.modules() if isinstance(module, PerBranch)]
    sizes = {
        layer: image_size[layer.dim - 2] // (4 * 2**level)
        for chains in (branches if image_size is not None else ())
        for level, chain in enumerate(chains)
        for layer in chain.modules()
        if isinstance(layer, SUSA)
    }
    return replace_modules(
        model, {SUSA: lambda layer: AxisAttention(layer, sizes.get(layer))}
    )
