"""Modules replaced, and convolutions with weights in another order, merged or wider.

Channels are taken by number; number -1 stands for a channel that passes through
unchanged and that the original layer does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Rule = Callable[[nn.Module], nn.Module]
PASS = -1  # number of a channel that passes through
BLOCK = 16  # channels of a block: what engines hold in one register of AVX-512
OPEN = 40.0  # bias of a sigmoid that makes it exactly one, in double precision too


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


def take_over(module: nn.Module, former: nn.Module) -> None:
    """Begin a module that has all that a former one, which is not used again, had."""
    nn.Module.__init__(module)
    module.__dict__.update(former.__dict__)


def merge_steps(
    sequence: nn.Sequential, merge: Callable[[nn.Module, nn.Module], nn.Module | None]
) -> nn.Module:
    """A plain sequence with one step for two, where ``merge`` of both is not None."""
    if type(sequence) is not nn.Sequential:
        return sequence
    steps: list[nn.Module] = []
    for step in sequence:
        merged = merge(steps[-1], step) if steps else None
        if merged is not None:
            steps.pop()
        steps.append(step if merged is None else merged)
    return nn.Sequential(*steps)


def take(tensor: Tensor, channels: Tensor, dim: int, fill: float = 0.0) -> Tensor:
    """Slices of ``tensor`` along ``dim``, and ``fill`` where a channel passes."""
    last = torch.full_like(tensor.narrow(dim, 0, 1), fill)
    slots = channels % (tensor.shape[dim] + 1)  # -1 is the last
    return torch.cat((tensor, last), dim).index_select(dim, slots)


def filled(order: Tensor) -> Tensor:
    """An order with empty slots up to whole blocks."""
    return F.pad(order, (0, -len(order) % BLOCK), value=PASS)


def joined(orders: Sequence[Tensor], widths: Sequence[int]) -> Tensor:
    """Numbers of channels once maps of these widths are one."""
    offsets = accumulate(widths[:-1], initial=0)
    pairs = zip(orders, offsets, strict=True)
    return torch.cat([torch.where(o == PASS, PASS, o + offset) for o, offset in pairs])


def split_activation(step: nn.Module) -> tuple[nn.Conv2d, list[nn.Module]]:
    """A folded convolution group's convolution and what follows it."""
    conv, *rest = step if isinstance(step, nn.Sequential) else [step]
    assert isinstance(conv, nn.Conv2d)
    return conv, rest


def convolution(
    weight: Tensor, bias: Tensor | None, like: nn.Conv2d | None = None
) -> nn.Conv2d:
    """A convolution of these weights, with stride, padding and kind of ``like``."""
    width, depthwise = len(weight), like is not None and like.groups > 1
    conv = nn.Conv2d(
        width if depthwise else weight.shape[1],
        width,
        tuple(weight.shape[2:]),
        stride=1 if like is None else like.stride,
        padding=0 if like is None else like.padding,
        groups=width if depthwise else 1,
        bias=bias is not None,
        device='meta',
    )
    conv.weight = nn.Parameter(weight.contiguous())
    if bias is not None:
        conv.bias = nn.Parameter(bias.contiguous())
    return conv


def linear_layer(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A linear layer of these weights."""
    layer = nn.Linear(*weight.shape[::-1], device='meta')
    layer.weight = nn.Parameter(weight)
    layer.bias = nn.Parameter(bias)
    return layer


def read_order(conv: nn.Conv2d, channels: Tensor) -> nn.Conv2d:
    """The convolution on an input whose slot p holds channel ``channels[p]``."""
    return convolution(take(conv.weight.data, channels, 1), conv.bias, conv)


def write_order(conv: nn.Conv2d, channels: Tensor, fill: float = 0.0) -> nn.Conv2d:
    """The convolution with channel ``channels[p]`` in slot p of its output.

    ``fill`` is the bias where a channel passes; its weights are zero.
    """
    bias = None if conv.bias is None else take(conv.bias.data, channels, 0, fill)
    return convolution(take(conv.weight.data, channels, 0), bias, conv)


def depthwise_order(conv: nn.Conv2d, channels: Tensor) -> nn.Conv2d:
    """A depthwise convolution in another order; what passes gets identity kernels."""
    changed = write_order(conv, channels)
    rows, columns = (size // 2 for size in conv.kernel_size)
    changed.weight.data[channels == PASS, :, rows, columns] = 1
    return changed
