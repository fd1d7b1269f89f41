"""Memory traffic: operators executed and bytes moved, what light networks wait for.

MACs say little where an operator does little: then starting it and moving its tensors
take the time. Both counts are exact and the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

KINDS = {
    'convolution': 'convolution',
    'add': 'addition',
    'sub': 'addition',
    'mul': 'multiplication',
    'addcmul': 'multiplication',
    'cat': 'concatenation',
    'stack': 'concatenation',
    'clone': 'copy',
    'copy': 'copy',
    'index': 'copy',
    'index_select': 'copy',
    'upsample_nearest2d': 'up-sampling',
    'upsample_bilinear2d': 'up-sampling',
    'relu': 'activation',
    'sigmoid': 'activation',
    'silu': 'activation',
    'gelu': 'activation',
    'hardswish': 'activation',
    'hardsigmoid': 'activation',
    'mean': 'pooling',
    '_adaptive_avg_pool2d': 'pooling',
    'avg_pool2d': 'pooling',
    'max_pool2d_with_indices': 'pooling',
    'native_batch_norm': 'normalisation',
    '_native_batch_norm_legit_no_training': 'normalisation',
    'native_layer_norm': 'normalisation',
    '_softmax': 'softmax',
    'mm': 'matrix product',
    'bmm': 'matrix product',
    'addmm': 'matrix product',
    'baddbmm': 'matrix product',
    'linear': 'matrix product',
    '_scaled_dot_product_flash_attention_for_cpu': 'attention',
}
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
    tensors = [v for v in tree_leaves(values) if isinstance(v, Tensor)]
    return sum(_existing(t) * t.element_size() for t in tensors)


def _existing(tensor: Tensor) -> int:
    """Elements of a tensor, those that an expansion repeats counted once."""
    if tensor.layout is not torch.strided:
        return tensor.numel()
    count = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= size if stride or not size else 1
    return count


class _Counter(TorchDispatchMode):
    """Sums up what runs inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, Traffic] = {}

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        if func.is_view or name in (*_ALLOCATIONS, 'detach', '_unsafe_view'):
            return result
        inputs = {k: v for k, v in kwargs.items() if k != 'out'}
        cost = Traffic(1, _bytes((args, inputs)) + _bytes(result))
        kind = KINDS.get(name if name in KINDS else name.rstrip('_'), 'other')
        self.kinds[kind] = self.kinds.get(kind, Traffic()) + cost
        return result


def count_traffic(run: Callable[[], object]) -> dict[str, Traffic]:
    """Count operators and bytes of one call, without gradients.

    Operators are those of PyTorch's eager mode, so a backend that fuses runs fewer.
    Copies that a kernel makes inside itself are not seen.

    Args:
        run: What to count.

    Returns:
        Kind (a value of ``KINDS``, or ``'other'``) to its traffic, largest first; the
        total is ``sum(kinds.values(), Traffic())``.
    """
    with torch.no_grad(), _Counter() as counter:
        run()
    ordered = sorted(counter.kinds.items(), key=lambda item: -item[1].bytes)
    return dict(ordered)
