"""Removing channels from modules in place, so that every reference to them holds.

Parameters and buffers stay the same objects with less in them: the order of an
optimizer's groups, the averaged copy and hooks that hold them need no repair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@dataclass(frozen=True)
class Cut:
    """What happened to one parameter; its optimizer state must follow.

    Attributes:
        parameter: The parameter, already cut.
        keep: Indices along ``dim`` that went on; None if the parameter left the model.
    """

    parameter: nn.Parameter
    dim: int
    keep: Tensor | None


def select(tensor: Tensor, dim: int, keep: Tensor) -> Tensor:
    """The entries ``keep`` along ``dim``, in memory of their own."""
    return tensor.detach().index_select(dim, keep.to(tensor.device)).contiguous()


def set_data(parameter: nn.Parameter, data: Tensor) -> None:
    """Give a parameter, which must have no gradient, data of another shape.

    Autograd has a node per parameter that knows its shape, and goes on using it while
    anything holds it: a graph, or a wrapper for several processes that the garbage
    collector has not found yet. It parts with it only when the type changes.
    """
    other = torch.float32 if data.dtype == torch.float64 else torch.float64
    parameter.data = data.to(other)
    parameter.data = data


def cut_parameter(parameter: nn.Parameter, dim: int, keep: Tensor) -> Cut:
    """Cut a parameter and its gradient."""
    grad, parameter.grad = parameter.grad, None
    set_data(parameter, select(parameter, dim, keep))
    if grad is not None:
        parameter.grad = select(grad, dim, keep)
    return Cut(parameter, dim, keep)


def cut_norm(norm: _BatchNorm, keep: Tensor) -> Iterator[Cut]:
    """Cut a batch norm and its statistics."""
    for parameter in (norm.weight, norm.bias):
        yield cut_parameter(parameter, 0, keep)
    for buffer in (norm.running_mean, norm.running_var):
        buffer.data = select(buffer, 0, keep)
    norm.num_features = len(keep)


def cut_outputs(conv: nn.Conv2d, keep: Tensor) -> Iterator[Cut]:
    """Cut the output channels of a convolution, of a depthwise one all channels."""
    if conv.groups > 1:
        conv.groups = conv.in_channels = len(keep)
    conv.out_channels = len(keep)
    yield cut_parameter(conv.weight, 0, keep)


def cut_inputs(conv: nn.Conv2d, keep: Tensor) -> Iterator[Cut]:
    """Cut the input channels of a convolution without groups."""
    conv.in_channels = len(keep)
    yield cut_parameter(conv.weight, 1, keep)


def removed(module: nn.Module) -> Iterator[Cut]:
    """The record of a module that leaves the model as a whole."""
    for parameter in module.parameters():
        parameter.grad = None
        yield Cut(parameter, 0, None)


def take_over(old: nn.Module, new: nn.Module) -> nn.Module:
    """Put the parameters of ``old`` into ``new``, with the shapes and values of new.

    Both are of one class, so their names agree. The result is ``new`` holding the
    parameter objects that an optimizer may already know.
    """
    reference = next(old.parameters())
    new = new.to(reference.device, reference.dtype).train(old.training)
    for name, parameter in list(old.named_parameters()):
        path, _, leaf = name.rpartition('.')
        fresh = new.get_parameter(name)
        parameter.grad = None
        set_data(parameter, fresh.data)
        setattr(new.get_submodule(path), leaf, parameter)
    return new


def alive(mask: Tensor) -> Tensor:
    """Indices where a mask ``(C,)`` is true."""
    return torch.nonzero(mask).flatten()
