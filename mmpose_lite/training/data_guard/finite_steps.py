"""Steps of an optimizer that are only made with finite losses and gradients."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

_SHOWN = 16  # samples of a batch that a message names


class FiniteSteps:
    """Stops a training before a not-a-number or infinity reaches its weights.

    The loss is looked at before its gradients are computed, the gradients right before
    the optimizer's step. With mixed precision torch's gradient scaler leaves out steps
    with such gradients, or lets a fused optimizer leave them out: that is no error.
    ``model`` gives the names of parameters and ``step`` the step's number, for
    messages.
    """

    def __init__(
        self, wrapper: OptimWrapper, model: nn.Module, step: Callable[[], int]
    ) -> None:
        self.batch: Any = None
        self._model = model
        self._step = step
        self._undo: list[Callable[[], object]] = []
        several = isinstance(wrapper, OptimWrapperDict)
        for part in wrapper.values() if several else [wrapper]:
            self._watch_losses(part)
            handle = part.optimizer.register_step_pre_hook(self._check_gradients)
            self._undo.append(handle.remove)

    def close(self) -> None:
        """Watch no longer."""
        while self._undo:
            self._undo.pop()()

    def _watch_losses(self, wrapper: OptimWrapper) -> None:
        original = wrapper.update_params

        def update_params(loss: torch.Tensor, *args: Any, **kwargs: Any) -> None:
            if not loss.isfinite().all():
                self._refuse(f'the loss is {loss.detach().sum().item()}')
            original(loss, *args, **kwargs)

        wrapper.update_params = update_params
        self._undo.append(lambda: wrapper.__dict__.pop('update_params', None))

    def _check_gradients(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        # A gradient scaler has looked, and a fused optimizer does as it found.
        if getattr(optimizer, 'found_inf', None) is not None:
            return
        parameters = (p for group in optimizer.param_groups for p in group['params'])
        if _have_finite_gradients(parameters):
            return
        named = self._model.named_parameters()
        names = [name for name, p in named if not _have_finite_gradients([p])]
        shown = ', '.join(names[:3]) + ', …' * (len(names) > 3)
        self._refuse(f'gradients are not finite ({shown})')

    def _refuse(self, what: str) -> None:
        samples = list(_samples(self.batch))
        more = f' and {len(samples) - _SHOWN} more' * (len(samples) > _SHOWN)
        raise FloatingPointError(
            f'{what} in step {self._step()}. The weights are those after the step '
            'before, and no checkpoint holds others. The batch: '
            f'{", ".join(samples[:_SHOWN]) or "unknown"}{more}. A smaller learning '
            'rate or clip_grad may help; `mmpose-lite check-data` finds damaged data'
        )


def _have_finite_gradients(parameters: Iterable[nn.Parameter]) -> bool:
    """One norm of all norms, so that little is launched or copied."""
    by_kind = defaultdict(list)
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is not None and not gradient.is_sparse:
            by_kind[gradient.device, gradient.dtype].append(gradient)
    return all(
        torch.stack(torch._foreach_norm(group, float('inf'))).isfinite().all()
        for group in by_kind.values()
    )


def _samples(batch: Any) -> Iterator[str]:
    samples = batch.get('data_samples', ()) if isinstance(batch, Mapping) else ()
    for sample in samples if isinstance(samples, (list, tuple)) else ():
        path, number = (getattr(sample, name, None) for name in ('img_path', 'id'))
        if path is not None:
            yield f'{path} (annotation {number})'
