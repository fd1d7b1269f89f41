"""Memory traffic: operators executed and bytes moved, what light networks wait for.

MACs say little where an operator does little: then starting it and moving its tensors
take the time. Both counts are exact and the same on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_OPERATORS = {
    'convolution': 'convolution',
    'addition': 'add sub',
    'multiplication': 'mul addcmul',
    'concatenation': 'cat stack',
    'copy': 'clone copy index index_select',
    'up-sampling': 'upsample_nearest2d upsample_bilinear2d',
    'activation': 'relu sigmoid silu gelu hardswish hardsigmoid',
    'pooling': 'mean _adaptive_avg_pool2d avg_pool2d max_pool2d_with_indices',
    'normalisation': 'native_batch_norm _native_batch_norm_legit_no_training '
    'native_layer_norm',
    'softmax': '_softmax',
    'matrix product': 'mm bmm addmm baddbmm linear',
    'attention': '_scaled_dot_product_flash_attention_for_cpu',
}
KINDS = {name: kind for kind, names in _OPERATORS.items() for name in names.split()}
"""Name of an ATen operator, without its in-place underscore, to kind; else 'other'."""
_ALLOCATIONS = ('empty', 'empty_like', 'empty_strided', 'new_empty')


@dataclass(frozen=True)
class Traffic:
    """Cost of one call beside its arithmetic.

    Attributes:
        operators: ATen operators executed; views, slices and mere allocations are none.
        bytes: Of all tensors that they read or write, each as often as that happens.
    """

    operators: int = 0
    bytes: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.operators + other.operators, self.bytes + other.bytes)

    @property
    def megabytes(self) -> float:
        """Bytes in units of 10^6."""
        return self.bytes / 1e6


def _bytes(values: Any) -> int:
    """Bytes of all tensors in a nest; of an expanded one those that exist."""
    total = 0
    for tensor in tree_leaves(values):
        if isinstance(tensor, Tensor):
            count = tensor.numel()
            if count and tensor.layout is torch.strided:
                sides = zip(tensor.shape, tensor.stride(), strict=True)
                count = math.prod(size for size, stride in sides if stride)
            total += count * tensor.element_size()
    return total


class _Counter(TorchDispatchMode):
    """Sums up what runs inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, Traffic] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if func.is_view or name in (*_ALLOCATIONS, 'detach', '_unsafe_view'):
            return result
        inputs = {k: v for k, v in kwargs.items() if k != 'out'}
        cost = Traffic(1, _bytes((args, inputs, result)))
        kind = KINDS.get(name if name in KINDS else name.rstrip('_'), 'other')
        self.kinds[kind] = self.kinds.get(kind, Traffic()) + cost
        return result


def count_traffic(run: Callable[[], object]) -> dict[str, Traffic]:
    """Count operators and bytes of one call, without gradients.

    Operators are those of PyTorch's eager mode, so a backend that fuses runs fewer.
    Copies that a kernel makes inside itself are not seen.

    Returns:
        Kind (a value of ``KINDS``, or ``'other'``) to its traffic, largest first; the
        total is ``sum(kinds.values(), Traffic())``.
    """
    with torch.no_grad(), _Counter() as counter:
        run()
    return dict(sorted(counter.kinds.items(), key=lambda item: -item[1].bytes))
