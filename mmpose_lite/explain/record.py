"""What modules saw and returned while a model predicted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn


class Call(NamedTuple):
    """First argument and result of a module's first call; tensors are ``(1, …)``."""

    input: Any
    output: Any


Calls = dict[nn.Module, Call]


@contextmanager
def recorded(modules: Iterable[nn.Module]) -> Iterator[Calls]:
    """Recorder of modules, by forward hooks that are gone afterwards in any case.

    Only a module's first call counts (a flip test calls again, with a mirrored image),
    and of its batch the first image.

    Yields:
        Module to its call, filled while the block runs. What is changed in place later
        does not change the record.
    """
    calls: Calls = {}

    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if module not in calls:
            calls[module] = Call(_first(args[0]), _first(output))

    with ExitStack() as hooks:
        for module in modules:
            hooks.callback(module.register_forward_hook(hook).remove)
        yield calls


def _first(value: Any) -> Any:
    """A copy of the first image's part of tensors, of lists and tuples of them."""
    if isinstance(value, Tensor):
        return value[:1].detach().clone()
    if isinstance(value, list | tuple):
        return tuple(_first(part) for part in value)
    return value
