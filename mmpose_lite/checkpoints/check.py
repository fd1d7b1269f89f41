"""Strict comparison of converted weights with a model, without touching the model."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .layout import Dropped, describe


def check(
    model: nn.Module, state_dict: dict[str, Tensor], dropped: Sequence[Dropped] = ()
) -> None:
    """Refuse weights that the model would not load strictly.

    Tables that were dropped because the model computes them must equal the model's own.

    Raises:
        ValueError: If a key is missing or too many, a shape differs or a dropped table
            is not the model's (the message lists all of them).
    """
    model, refusal = _as_loaded(model, state_dict)
    parts = _misfits(model, state_dict) if refusal else {}
    if refusal and not any(parts.values()):
        parts['refused by the model'] = [refusal]
    parts['computed otherwise by the model'] = [
        problem for item in dropped for problem in _difference(model, item)
    ]
    if any(parts.values()):
        counts = ', '.join(f'{len(v)} {k}' for k, v in parts.items() if v)
        lines = [f'\n  {name}: {line}' for name, part in parts.items() for line in part]
        raise ValueError(f'the weights do not fit the model: {counts}{"".join(lines)}')


def _misfits(model: nn.Module, state_dict: dict[str, Tensor]) -> dict[str, list[str]]:
    own = model.state_dict()
    missing = [key for key in own if key not in state_dict]
    unexpected = [key for key in state_dict if key not in own]
    computed = {name for name, _ in model.named_buffers()} - set(own)
    return {
        'missing in the file': describe(missing, own, unexpected),
        'unknown to the model': [
            line + '; the model computes it' * (key in computed)
            for key, line in zip(
                unexpected,
                describe(unexpected, state_dict, missing or own),
                strict=True,
            )
        ],
        'of another shape': [
            f'{key}: expected {tuple(own[key].shape)}, received {tuple(value.shape)}'
            for key, value in state_dict.items()
            if key in own and own[key].shape != value.shape
        ],
    }


def _as_loaded(
    model: nn.Module, state_dict: dict[str, Tensor]
) -> tuple[nn.Module, str]:
    """A copy that has loaded the weights, and why it could not do so strictly, if so.

    Searched networks take on the form that the weights have, and X-HRNet crops or pads
    its position weights: only loading tells.
    """
    model = copy.deepcopy(model)
    try:
        model.load_state_dict(state_dict, strict=True)
    except ValueError:
        raise  # a model's own words
    # torch's RuntimeError, or whatever a model's hook stumbles over in strange shapes.
    except Exception as error:
        return model, f'{type(error).__name__}: {error}'
    return model, ''


def _difference(model: nn.Module, dropped: Dropped) -> list[str]:
    """What is wrong with a dropped table against the model's own, if anything."""
    name, table = dropped.row.computed_as, dropped.tensor
    if name is None:
        return []
    if any(name == key for key, _ in model.named_parameters()):
        return [f"{dropped.key}: the file's is computed, the model learns its {name}"]
    own = dict(model.named_buffers()).get(name)
    if own is None:
        return [f'{dropped.key}: the model has no {name} to stand for it']
    if own.shape != table.shape:
        return [
            f'{dropped.key}: expected {tuple(own.shape)} as {name} is, '
            f'received {tuple(table.shape)}'
        ]
    worst = float((own.double().cpu() - table.double().cpu()).abs().max())
    allowed = max(1e-5, 4 * torch.finfo(table.dtype).eps)  # it may have been rounded
    if worst <= allowed:
        return []
    return [
        f'{dropped.key}: differs from {name} by up to {worst:.2g}, allowed '
        f'{allowed:.2g}; do input and patch size of the config fit?'
    ]
