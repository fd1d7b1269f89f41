"""What modules saw and returned while a model predicted, without touching the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Call:
    """The first call of a module, for the first image of its batch.

    Attributes:
        input: First argument, ``(1, …)``.
        output: What was returned, ``(1, …)``.
    """

    input: Tensor
    output: Tensor


@contextmanager
def recorded(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Call]]:
    """Record modules by forward hooks, which are gone afterwards, come what may.

    Only a module's first call counts: a flip test calls again, with a mirrored image.

    Args:
        modules: Names of one's own to modules from one tensor to one tensor.

    Yields:
        Name to call, filled while the block runs. What the block changes in place
        later does not change the record.
    """
    calls: dict[str, Call] = {}

    def listen(name: str) -> None:
        def hook(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            if name not in calls:
                calls[name] = Call(_first(args[0]), _first(output))

        hooks.callback(modules[name].register_forward_hook(hook).remove)

    with ExitStack() as hooks:
        for name in modules:
            listen(name)
        yield calls


def _first(batch: Tensor) -> Tensor:
    return batch[:1].detach().clone()


@contextmanager
def first_input(module: nn.Module) -> Iterator[list[Tensor]]:
    """Record what a module is called with first, whatever it returns.

    Yields:
        A list that the block fills with one tensor ``(1, …)``.
    """
    inputs: list[Tensor] = []

    def hook(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        if not inputs:
            inputs.append(_first(args[0]))

    handle = module.register_forward_pre_hook(hook)
    try:
        yield inputs
    finally:
        handle.remove()
