"""Modules replaced, and convolutions with weights in another order, merged or wider.

Channels are taken by number; number -1 stands for a channel that passes through
unchanged and that the original layer does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

Rule = Callable[[nn.Module], nn.Module]
PASS = -1
"""Number of a channel that passes through."""
OPEN = 40.0
"""Bias of a sigmoid that makes it exactly one, in double precision too."""


def replace_modules(model: nn.Module, rules: Mapping[type, Rule]) -> nn.Module:
    """Replace every module of a type in ``rules``, innermost first.

    A rule holds for its type and for subclasses that have none of their own. It may
    reuse parts of what it replaces, or change that and return it. The model is changed
    in place; what is returned may replace its root, too.
    """
    replaced: dict[nn.Module, nn.Module] = {}

    def visit(module: nn.Module) -> nn.Module:
        if module not in replaced:
            for name, child in module.named_children():
                setattr(module, name, visit(child))
            rule = next((rules[t] for t in type(module).__mro__ if t in rules), None)
            replaced[module] = module if rule is None else rule(module)
        return replaced[module]

    return visit(model)


def take(tensor: Tensor, channels: Tensor, dim: int, fill: float = 0.0) -> Tensor:
    """Slices of ``tensor`` along ``dim``, and ``fill`` where a channel passes."""
    known = channels != PASS
    shape = list(tensor.shape)
    shape[dim] = len(channels)
    taken = tensor.new_full(shape, fill)
    index = known.nonzero().flatten()
    return taken.index_copy_(dim, index, tensor.index_select(dim, channels[known]))


def joined(orders: Sequence[Tensor], widths: Sequence[int]) -> Tensor:
    """Channels of maps joined to one, whose channels are ``widths`` on."""
    offsets = accumulate(widths, initial=0)
    return torch.cat(
        [
            torch.where(order == PASS, PASS, order + offset)
            for order, offset in zip(orders, offsets, strict=False)
        ]
    )


def split_activation(step: nn.Module) -> tuple[nn.Conv2d, list[nn.Module]]:
    """A folded convolution group's convolution and what follows it."""
    conv, *rest = step if isinstance(step, nn.Sequential) else [step]
    assert isinstance(conv, nn.Conv2d)
    return conv, rest


def convolution(like: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A convolution with the strides and padding of ``like`` and other weights."""
    depthwise = like.groups > 1
    conv = nn.Conv2d(
        weight.shape[0] if depthwise else weight.shape[1],
        weight.shape[0],
        like.kernel_size,
        stride=like.stride,
        padding=like.padding,
        groups=weight.shape[0] if depthwise else 1,
        bias=bias is not None,
        device='meta',
    )
    conv.weight = nn.Parameter(weight.contiguous())
    if bias is not None:
        conv.bias = nn.Parameter(bias.contiguous())
    return conv


def read_order(conv: nn.Conv2d, channels: Tensor) -> nn.Conv2d:
    """The convolution on an input whose slot p holds channel ``channels[p]``."""
    return convolution(conv, take(conv.weight.data, channels, 1), conv.bias)


def write_order(conv: nn.Conv2d, channels: Tensor, fill: float = 0.0) -> nn.Conv2d:
    """The convolution with channel ``channels[p]`` in slot p of its output.

    ``fill`` is the bias where a channel passes; its weights are zero.
    """
    bias = None if conv.bias is None else take(conv.bias.data, channels, 0, fill)
    return convolution(conv, take(conv.weight.data, channels, 0), bias)


def depthwise_order(conv: nn.Conv2d, channels: Tensor) -> nn.Conv2d:
    """A depthwise convolution in another order; what passes gets identity kernels."""
    changed = write_order(conv, channels)
    rows, columns = (size // 2 for size in conv.kernel_size)
    changed.weight.data[channels == PASS, :, rows, columns] = 1
    return changed


def stack_convs(convs: Sequence[nn.Conv2d]) -> nn.Conv2d:
    """One convolution for several that read the same map; outputs follow each other."""
    first = convs[0]
    biases = [
        c.weight.new_zeros(c.out_channels) if c.bias is None else c.bias.data
        for c in convs
    ]
    return convolution(
        first, torch.cat([c.weight.data for c in convs]), torch.cat(biases)
    )


def block_diagonal(convs: Sequence[nn.Conv2d]) -> nn.Linear:
    """One linear layer for several 1x1 convolutions of vectors that lie in a row."""
    weights = [c.weight.data.flatten(1) for c in convs]
    merged = torch.block_diag(*weights)
    linear = nn.Linear(merged.shape[1], merged.shape[0], device='meta')
    linear.weight = nn.Parameter(merged)
    linear.bias = nn.Parameter(torch.cat([c.bias.data for c in convs]))
    return linear
