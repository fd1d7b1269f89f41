"""What the content of a checkpoint must be, once it has been read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from .archive import DamagedError

_SHOWN = 8


def check_content(content: Any, size: int, *, allow_nonfinite: bool) -> None:
    """Refuse what is no mapping, or holds tensors that nobody can have trained.

    Args:
        size: Bytes of the file. A tensor that claims more has one number many times,
            and would fill the memory where it is copied.

    Raises:
        DamagedError: If so (the message names the keys, not the file).
    """
    if not isinstance(content, Mapping):
        raise DamagedError(f'it holds a {type(content).__name__} and no named weights')
    broken: list[str] = []
    for name, tensor in _tensors(content):
        if tensor.layout != torch.strided or tensor.device.type != 'cpu':
            raise DamagedError(
                f'{name} is no plain tensor ({tensor.layout} on {tensor.device})'
            )
        if tensor.is_quantized or tensor.is_nested:
            raise DamagedError(f'{name} is no plain tensor (quantized or nested)')
        if tensor.numel() * tensor.element_size() > size:
            raise DamagedError(
                f'{name} claims the shape {tuple(tensor.shape)}, more than the '
                f'{size} bytes of the file'
            )
        if not (allow_nonfinite or _is_finite(tensor)):
            broken.append(name)
    if broken:
        more = f' and {len(broken) - _SHOWN} more' if len(broken) > _SHOWN else ''
        raise DamagedError(
            f'NaN or infinite values in {", ".join(broken[:_SHOWN])}{more}; '
            'allow_nonfinite=True takes them'
        )


def _is_finite(tensor: Tensor) -> bool:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    if tensor.element_size() == 1:  # torch cannot ask floats of 8 bits
        tensor = tensor.float()
    return bool(torch.isfinite(tensor).all())


def _tensors(content: Any) -> Iterator[tuple[str, Tensor]]:
    """All tensors with the way to them; every object once, however often it is in."""
    stack: list[tuple[str, Any]] = [('', content)]
    seen: set[int] = set()
    while stack:
        name, value = stack.pop()
        if isinstance(value, Tensor):
            yield name, value
            continue
        if id(value) in seen:
            continue
        seen.add(id(value))
        children: list[tuple[Any, Any]] = []
        if isinstance(value, Mapping):
            children = list(value.items())
        elif isinstance(value, list | tuple | set):
            children = list(enumerate(value))
        lead = f'{name}/' if name else ''
        stack += [(f'{lead}{key}', child) for key, child in reversed(children)]
