"""Gradient checkpointing that leaves batch-norm statistics as without it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


@contextmanager
def _scratch_statistics(module: nn.Module) -> Iterator[None]:
    """Let the batch norms of ``module`` update copies of their buffers meanwhile."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    kept = [dict(norm._buffers) for norm in norms]
    for norm in norms:
        for name, buffer in norm._buffers.items():
            norm._buffers[name] = None if buffer is None else buffer.clone()
    try:
        yield
    finally:
        for norm, buffers in zip(norms, kept, strict=True):
            norm._buffers.update(buffers)


def checkpoint_keeping_stats(
    module: nn.Module, *args: Any, method: Callable[..., Any] | None = None
) -> Any:
    """What ``module(*args)`` gives, its activations recomputed in backward.

    The recomputation would count every batch twice in running means and variances; here
    it works on copies, so statistics and gradients equal those of a plain call.
    ``method`` is a part of the module to run instead of its ``forward``.
    """
    return checkpoint(
        module if method is None else method,
        *args,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _scratch_statistics(module)),
    )
