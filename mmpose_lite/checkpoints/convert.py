"""One converter for every layout: recognise the table, apply it, check the result."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..io.files import remove_parts, write_atomically
from . import hrnas, hrnets, safetensors, tokenpose
from .check import check
from .layout import Drop, Dropped, Layout, Rename, describe, nearest
from .read import read_checkpoint

OWN = Layout('mmpose_lite', (), (Rename(r'((?:backbone|head)\..+)', r'\1'),))
LAYOUTS: tuple[Layout, ...] = (
    hrnets.MMPOSE,
    *tokenpose.LAYOUTS,
    *hrnas.LAYOUTS,
    *hrnets.PSA,
    *hrnets.PADDLE,
)


@dataclass(frozen=True)
class Conversion:
    """Converted weights and an account of everything that the file held.

    The tensors are those of the file, under our keys; ``set_aside`` are entries of the
    file beside its ``state_dict`` (optimizer, epoch, …).
    """

    layout: Layout
    state_dict: dict[str, Tensor]
    dropped: tuple[Dropped, ...] = ()
    set_aside: tuple[str, ...] = ()

    def account(self) -> list[str]:
        """Lines for the user: the layout, and all that did not go on."""
        lines = [f'layout: {self.layout.name}']
        lines += [f'dropped {item.key}: {item.row.reason}' for item in self.dropped]
        if self.set_aside:
            lines.append(f'beside the weights, not kept: {", ".join(self.set_aside)}')
        if self.layout.note:
            lines.append(f'note: {self.layout.note}')
        return lines


def convert(
    checkpoint: Mapping[str, Any], model: nn.Module | None = None
) -> dict[str, Tensor]:
    """Weights of any known layout under this project's keys.

    Args:
        checkpoint: Bare state dict or ``{'state_dict': …}``; all keys may begin with
            ``module.``, as DataParallel saves them.
        model: Model that the result must fit strictly; it is not changed.

    Returns:
        State dict for ``strict=True``; its tensors are not copied.

    Raises:
        ValueError: If there are no weights, no layout is recognised, a key is left over
            or the result does not fit the model (the message lists the keys).
    """
    return translate(checkpoint, model).state_dict


def translate(
    checkpoint: Mapping[str, Any], model: nn.Module | None = None
) -> Conversion:
    """Same as :func:`convert`, with the account of what was recognised and dropped."""
    weights, set_aside = unwrap(checkpoint)
    layout = recognise(weights)
    state_dict, dropped = apply(layout, weights)
    if model is not None:
        check(model, state_dict, dropped)
    return Conversion(layout, state_dict, dropped, set_aside)


def convert_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    model: nn.Module | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Conversion:
    """Convert a checkpoint file into one for ``mim test``.

    Args:
        source: Of the research code, of MMPose or of this package.
        target: Where to, whole or not at all; ``.safetensors`` decides for that format.
        notes: What else the file's ``meta`` holds, such as ``geometry`` (see
            :func:`geometry_of`).

    Raises:
        ImportError: If safetensors are to be read or written and not installed.
        ValueError: See :func:`convert`; also if target is source.
    """
    source, target = Path(source), Path(target)
    if target.exists() and source.exists() and target.samefile(source):
        raise ValueError(f'OUT is IN ({source}); the original is not overwritten')
    checkpoint = read_checkpoint(source)
    try:
        done = translate(checkpoint, model)
    except ValueError as error:
        raise ValueError(f'{source}: {error}') from None
    meta = {'converted_from': done.layout.name, **(notes or {})}
    data = encode_checkpoint(target, done.state_dict, meta)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_parts(target.parent)
    write_atomically(target, data)
    return done


def encode_checkpoint(
    path: str | os.PathLike[str],
    state_dict: dict[str, Tensor],
    notes: Mapping[str, Any],
) -> bytes:
    """Content of a file of this name, so that whoever writes it can do so atomically.

    With ``.safetensors`` its header has the notes as json; any other is ``torch.save``
    of ``state_dict`` and ``meta``, as MMEngine does.
    """
    if Path(path).suffix == safetensors.SUFFIX:
        words = {
            k: v if isinstance(v, str) else json.dumps(v) for k, v in notes.items()
        }
        return safetensors.dump(state_dict, words)
    buffer = io.BytesIO()
    torch.save({'state_dict': state_dict, 'meta': dict(notes)}, buffer)
    return buffer.getvalue()


def unwrap(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The weights of a checkpoint and the names of what lies beside them."""
    weights: Any = checkpoint
    set_aside: tuple[str, ...] = ()
    if isinstance(checkpoint, Mapping) and 'state_dict' in checkpoint:
        weights = checkpoint['state_dict']
        set_aside = tuple(str(key) for key in checkpoint if key != 'state_dict')
    if not isinstance(weights, Mapping) or not weights:
        received = f'a {type(checkpoint).__name__}'
        if isinstance(checkpoint, Mapping):
            received = f'a mapping with the entries {[str(key) for key in checkpoint]}'
        raise ValueError(
            'the checkpoint holds no weights: expected a state dict that is not empty, '
            f"or one under 'state_dict', received {received}"
        )
    other = [
        str(key)
        for key, value in weights.items()
        if not isinstance(key, str) or not isinstance(value, Tensor)
    ]
    if other:
        raise ValueError(
            'the checkpoint is no state dict: these entries are no named tensors: '
            + ', '.join(other)
        )
    prefix = 'module.'
    if not all(key.startswith(prefix) for key in weights):
        prefix = ''
    return {key.removeprefix(prefix): weights[key] for key in weights}, set_aside


def recognise(keys: Iterable[str]) -> Layout:
    """The layout that keys belong to.

    ValueError lists those known, and what is missing for the one that most keys fit.
    """
    keys = list(keys)
    if all(key.startswith(('backbone.', 'head.')) for key in keys):
        return OWN
    found = [layout for layout in LAYOUTS if set(layout.marks) <= set(keys)]
    if not found:
        shown = ', '.join(keys[:8]) + (', …' if len(keys) > 8 else '')
        known = ', '.join(layout.name for layout in (OWN, *LAYOUTS))
        raise ValueError(
            f'the layout of the checkpoint is not known; known are: {known}; '
            f'its {len(keys)} keys are: {shown}{_nearest(keys)}'
        )
    return max(found, key=lambda layout: len(layout.marks))


def apply(
    layout: Layout, weights: dict[str, Tensor]
) -> tuple[dict[str, Tensor], tuple[Dropped, ...]]:
    """Rename and drop keys as a table says; ValueError if it leaves a key over."""
    sources: dict[str, str] = {}
    unmatched, clashes = [], []
    dropped: list[Dropped] = []
    if layout.prepare is not None:
        weights, dropped = layout.prepare(weights)
    for key, tensor in weights.items():
        row = layout.row(key, tensor)
        if row is None:
            unmatched.append(key)
        elif isinstance(row, Drop):
            dropped.append(Dropped(key, tensor, row))
        else:
            ours = row.target(key)
            if ours in sources:
                clashes.append(f'{sources[ours]} and {key} both become {ours}')
            sources.setdefault(ours, key)
    lines = describe(unmatched, weights, layout.patterns()) + clashes
    if lines:
        listed = ''.join(f'\n  {line}' for line in lines)
        raise ValueError(
            f'the table of {layout.name} leaves {len(unmatched)} keys over and gives '
            f'{len(clashes)} a name twice:{listed}'
        )
    return {ours: weights[key] for ours, key in sources.items()}, tuple(dropped)


def _nearest(keys: list[str]) -> str:
    """What keeps keys from being of the layout that most of them would fit."""
    best = max((OWN, *LAYOUTS), key=lambda layout: sum(map(layout.knows, keys)))
    strange = [key for key in keys if not best.knows(key)]
    if 2 * len(strange) > len(keys):
        return ''
    lines = [f'{best.name} is nearest and knows all of them but {len(strange)}']
    for what, names, known in (
        ('not known there', strange, best.patterns()),
        ('missing', [mark for mark in best.marks if mark not in keys], keys),
    ):
        lines += [f'{what}: {name}{nearest(name, known)}' for name in names[:8]]
    return ''.join(f'\n  {line}' for line in lines)
