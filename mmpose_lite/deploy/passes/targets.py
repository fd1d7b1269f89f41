"""The last passes: for each engine the form of a network that it runs fastest.

OpenVINO's convolutions want channels last, its matrix products channels first, and each
change of layout takes longer than the product; it also lays maps out anew for gathers.
So attention and reorders become convolutions.

ONNX Runtime's fast convolutions want channels in blocks of 16 (or 8), and so do its
sums, products of maps of the same size, pooling and nearest up-sampling. Splits,
products with broadcasting and convolutions of other widths take maps out of the blocks
and back. So gates become maps, whatever is split is computed apart, and widths are
filled up: every large map stays in blocks.

PyTorch's own eager mode wants fewer passes over memory: a convolution adds what its
output is to be added to and applies its activation while it writes, on CPU by oneDNN's
post-operations; and what nobody else reads is overwritten. An exported graph gets no
such form: engines fuse by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import AxisAttention
from .ccw import MergedCCW, gated, pooled
from .fusion_layers import NestedFusionLayers, OptimizedHRModule
from .modules import (
    BLOCK,
    convolution,
    filled,
    merge_steps,
    read_order,
    replace_modules,
    split_activation,
    take_over,
    write_order,
)
from .shuffle_removal import ConcatenatedStem, OnSlots, OptimizedHRNet, Reorder

_ACTIVATIONS = {nn.ReLU: 'relu', nn.Sigmoid: 'sigmoid'}
_AFTER = {'relu': torch.relu_, 'sigmoid': torch.sigmoid_}


class ConvolvedAttention(AxisAttention):
    """Axis attention whose logits are a depthwise convolution over a whole axis.

    Values are a product with the map and a sum; the norm over channels is written out,
    its mean folded into the weights before it. The length of the axis must be known.
    """

    def __init__(self, layer: AxisAttention) -> None:
        nn.Module.__init__(self)
        self.axis = layer.axis
        # (1, C, 1, H) or (1, C, W, 1), one kernel per channel.
        kernels = layer.query.data.transpose(2, 3).transpose(0, 1)
        weight, bias = layer.mix.weight.data, layer.mix.bias.data
        self.query = nn.Parameter(kernels.contiguous())
        centred = (weight - weight.mean(0))[..., None, None]
        self.mix = convolution(centred, bias - bias.mean())
        self.scale = nn.Parameter(layer.norm.weight.data.view(1, -1, 1, 1))
        self.shift = nn.Parameter(layer.norm.bias.data.view(1, -1, 1, 1))
        self.eps = layer.norm.eps

    def gate(self, x: Tensor) -> Tensor:
        """As of :class:`AxisAttention`."""
        across = 3 if self.axis == 'h' else 2
        logits = F.conv2d(x, self.query, groups=len(self.query))
        value = (x * logits.softmax(across)).sum(across, keepdim=True)
        centred = self.mix(value)
        variance = (centred * centred).mean(1, keepdim=True)
        normed = centred * (variance + self.eps).rsqrt()
        return (normed * self.scale + self.shift).sigmoid()


def convolve_attention(model: nn.Module) -> nn.Module:
    """Compute attention along axes by convolutions, where their length is known."""
    return replace_modules(
        model,
        {AxisAttention: lambda a: a if a.size is None else ConvolvedAttention(a)},
    )


def convolve_reorders(model: nn.Module) -> nn.Module:
    """Reorder channels by convolutions with weights of zero and one."""
    some = next(model.parameters(), torch.empty(0))

    def convolved(move: Reorder) -> nn.Conv2d:
        rows = len(move.index)
        kernel = some.new_zeros(rows, move.width, 1, 1)
        kernel[torch.arange(rows), move.index] = 1
        return convolution(kernel, None)

    return replace_modules(model, {Reorder: convolved})


def _parts(conv: nn.Conv2d, widths: Sequence[int]) -> nn.ModuleList:
    """A dense convolution for each run of a convolution's outputs."""
    ends = accumulate(widths, initial=0)
    return nn.ModuleList(
        write_order(conv, torch.arange(*span)) for span in pairwise(ends)
    )


def _filled(first: nn.Conv2d, second: nn.Conv2d) -> tuple[nn.Conv2d, nn.Conv2d]:
    """Two convolutions with a whole number of blocks of channels between them."""
    order = filled(torch.arange(first.out_channels))
    return write_order(first, order), read_order(second, order)


def stretched(gates: Sequence[Tensor], maps: Sequence[Tensor]) -> list[Tensor]:
    """Gates of one pixel as maps of the given ones' sizes."""
    return [
        F.interpolate(gate, scale_factor=tuple(map(float, x.shape[2:])), mode='nearest')
        for gate, x in zip(gates, maps, strict=True)
    ]


class BlockedCCW(nn.Module):
    """A merged CCW, on all channels, with a convolution for the gate of each map.

    It takes maps ``(B, C_i, H / 2^i, W / 2^i)`` and, if they are still to be multiplied
    with gates, those, in the size of the last map; it gives maps of the same shapes and
    gates ``(B, C_i, 1, 1)`` yet to be multiplied.
    """

    def __init__(self, ccw: MergedCCW) -> None:
        super().__init__()
        convs = (split_activation(step)[0] for step in (ccw.reduce, ccw.expand))
        self.reduce, expand = _filled(*convs)
        self.expand = _parts(expand, ccw.widths)
        self.filters = ccw.filters
        # Linear layers are convolutions of maps of one pixel.
        self.squeeze, excite = _filled(
            *(
                convolution(layer.weight.data[..., None, None], layer.bias.data)
                for layer in (ccw.squeeze, ccw.excite)
            )
        )
        self.excite = _parts(excite, ccw.widths)

    def forward(
        self, feats: Sequence[Tensor], pending: Sequence[Tensor] | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Weight by position and filter; the gates of the means are returned."""
        small = pooled(feats)
        # A gate per channel may as well be applied to the small maps as to the large.
        if pending is not None:
            small = [x * gate for x, gate in zip(small, pending, strict=True)]
        reduced = self.reduce(torch.cat(small, 1)).relu()
        gates = [expand(reduced).sigmoid() for expand in self.expand]
        if pending is not None:
            gates = [a * b for a, b in zip(gates, pending, strict=True)]
        filtered = gated(feats, gates, self.filters)
        means = torch.cat([F.adaptive_avg_pool2d(x, 1) for x in filtered], 1)
        squeezed = self.squeeze(means).relu()
        return filtered, [excite(squeezed).sigmoid() for excite in self.excite]

    def double_first(self) -> None:
        """Let the first map be twice what it was, its gate the same."""
        self.filters[0].weight.data *= 2
        self.filters[0].bias.data *= 2
        self.squeeze.weight.data[:, : self.filters[0].out_channels] /= 2


class BlockedFusionLayers(NestedFusionLayers):
    """Fusion layers with a convolution per pair of maps; the first comes doubled."""

    def __init__(self, fusion: NestedFusionLayers) -> None:
        take_over(self, fusion)
        lifts = enumerate(fusion.lifts, 1)
        self.lifts = nn.ModuleList(_parts(conv, self.widths[:k]) for k, conv in lifts)

    def arrivals(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """What each resolution but the lowest receives from all below it."""
        arrived: list[Tensor] = []
        passing: list[Tensor] = []
        for lifts, feat in zip(self.lifts[::-1], feats[:0:-1], strict=True):
            lifted = [lift(feat) for lift in lifts]
            if passing:
                lifted = [a + b for a, b in zip(lifted, passing, strict=True)]
            *passing, here = (
                F.interpolate(x, scale_factor=2.0, mode='nearest') for x in lifted
            )
            arrived.insert(0, here)
        return arrived

    def top(self, arrived: Tensor, own: Tensor) -> Tensor:
        """The sum of the highest resolution."""
        return arrived + own


class BlockedHRModule(nn.Module):
    """A module, of CCW on all channels, with gates multiplied as late as may be."""

    def __init__(self, module: OptimizedHRModule) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            BlockedCCW(step.transform) for step in module.layers
        )
        self.fusion = module.fusion
        if isinstance(module.fusion, NestedFusionLayers):
            self.fusion = BlockedFusionLayers(module.fusion)
            self.blocks[-1].double_first()

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Blocks and fusion layers."""
        pending = None
        for block in self.blocks:
            feats, gates = block(feats, pending)
            pending = stretched(gates, [feats[-1]] * len(feats))
        gates = stretched(gates, feats)
        feats = [feat * gate for feat, gate in zip(feats, gates, strict=True)]
        return self.fusion(feats)


class BlockedStem(nn.Module):
    """The stem with a convolution of the image for each of its branches."""

    def __init__(self, stem: ConcatenatedStem) -> None:
        super().__init__()
        conv, activation = split_activation(stem.conv1)
        first, second = _parts(conv, [stem.half, conv.out_channels - stem.half])
        self.branch1 = nn.Sequential(first, *activation, stem.branch1)
        self.branch2 = nn.Sequential(second, *activation, stem.branch2)

    def forward(self, x: Tensor) -> Tensor:
        """Image to the stride-4 map."""
        return torch.cat((self.branch1(x), self.branch2(x)), 1)


def _is_whole(stage: nn.Module) -> bool:
    """Whether a module's steps are CCW of whole blocks of channels."""
    return isinstance(stage, OptimizedHRModule) and all(
        isinstance(step, OnSlots)
        and isinstance(step.transform, MergedCCW)
        and step.slots == [(0, width) for width in step.transform.widths]
        and not any(width % BLOCK for width in step.transform.widths)
        for step in stage.layers
    )


def _blocked(net: OptimizedHRNet) -> OptimizedHRNet:
    if not all(_is_whole(module) for stage in net.stages for module in stage):
        return net
    net.stem = BlockedStem(net.stem)
    return replace_modules(net, {OptimizedHRModule: BlockedHRModule})


def stay_in_blocks(model: nn.Module) -> nn.Module:
    """Keep maps in blocks of channels, in networks of CCW with layout ``'blocks'``."""
    return replace_modules(model, {OptimizedHRNet: _blocked})


def _has_post_operations(x: Tensor) -> bool:
    """Whether oneDNN can compute a convolution of ``x``."""
    return (
        x.device.type == 'cpu'
        and x.dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
    )


class FusedConv(nn.Conv2d):
    """Convolution, sum with a map, and activation in one operator where there is one.

    It takes over a convolution; ``activation`` is ``'relu'``, ``'sigmoid'`` or None.
    """

    def __init__(self, conv: nn.Conv2d, activation: str | None = None) -> None:
        take_over(self, conv)
        self.activation = activation

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        """Activation of the convolution of ``x`` plus ``other``."""
        if not _has_post_operations(x):
            out = super().forward(x)
            out = out if other is None else out.add_(other)
            return out if self.activation is None else _AFTER[self.activation](out)
        where = (self.padding, self.stride, self.dilation, self.groups)
        operator = torch.ops.mkldnn._convolution_pointwise
        if other is None:
            name = self.activation or 'none'
            return operator(x, self.weight, self.bias, *where, name, [], '')
        # After a sum no other activation is fused.
        fused = self.activation if self.activation == 'relu' else None
        after = ('add', 1.0, fused, [], '')
        out = operator(x, other, self.weight, self.bias, *where, *after)
        return out if fused == self.activation else _AFTER[self.activation](out)


class EagerFusionLayers(NestedFusionLayers):
    """Nested fusion layers whose convolutions add to what is there."""

    def __init__(self, fusion: NestedFusionLayers) -> None:
        take_over(self, fusion)
        for paths in self.downs:
            paths[-1][-1][-1].activation = 'relu'

    def added(self, path: nn.Module, x: Tensor, total: Tensor | None) -> Tensor:
        """What a path gives, added by its last convolution."""
        if isinstance(path, FusedConv):
            return path(x, total)
        for step in path[:-1]:
            x = step(x)
        filtered, mix = path[-1]
        return mix(filtered(x), total)

    def top(self, arrived: Tensor, own: Tensor) -> Tensor:
        """The sum of the highest resolution."""
        return arrived.add_(own, alpha=2)

    def forward(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """All sums, of which all but the first were activated with their last paths."""
        top, *others = self.sums(feats)
        return [top.relu_(), *others]


def _fuse_conv(conv: nn.Conv2d) -> nn.Module:
    plain = conv.padding_mode == 'zeros' and not isinstance(conv.padding, str)
    return FusedConv(conv) if type(conv) is nn.Conv2d and plain else conv


def _fuse_activation(conv: nn.Module, step: nn.Module) -> nn.Module | None:
    name = _ACTIVATIONS.get(type(step))
    if name is None or not isinstance(conv, FusedConv) or conv.activation is not None:
        return None
    conv.activation = name
    return conv


def fuse_for_eager(model: nn.Module) -> nn.Module:
    """Fuse sums and activations into convolutions, and overwrite what may be.

    The result cannot be exported. In other precisions than float32 and bfloat16, and on
    other devices than the CPU, it computes the same in separate operators.
    """
    sequences = {nn.Sequential: partial(merge_steps, merge=_fuse_activation)}
    model = replace_modules(model, {nn.Conv2d: _fuse_conv, **sequences})
    model = replace_modules(model, {NestedFusionLayers: EagerFusionLayers})
    for module in model.modules():
        if isinstance(module, OnSlots):
            module.in_place = True
        elif isinstance(module, (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.SiLU)):
            module.inplace = True
    return model


def order_for_eager(model: nn.Module) -> nn.Module:
    """Lay maps out channel last, as eager convolutions on CPU are fastest.

    Networks with attention along image axes stay as they are: their products with the
    map read it channel by channel.
    """
    if any(isinstance(module, AxisAttention) for module in model.modules()):
        return model
    return model.to(memory_format=torch.channels_last)
