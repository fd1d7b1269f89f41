"""What a search left in its checkpoint, from the shapes of the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from ..models.backbones import HRNASNet
from ..models.backbones.hrnas import resolve_arch
from ..models.backbones.hrnas_arch import (
    BlockArch,
    SearchSpace,
    dump_arch,
    infer_arch,
    parse_arch,
)
from .config_text import read_config_text, without_scope


@dataclass(frozen=True)
class SearchResult:
    """What a checkpoint of a search, or of what was exported from one, holds.

    Attributes:
        space: The supernet.
        arch: What is left of it.
        input_size: ``(W, H)``; None if nothing tells.
        weights: ``state_dict`` of the pose estimator.
        meta: MMEngine's notes.
        config: Config of the search; empty if there is none.
        averaged: Whether the weights are a moving average.
    """

    space: SearchSpace
    arch: list[BlockArch]
    input_size: tuple[int, int] | None
    weights: dict[str, Tensor]
    meta: dict[str, Any]
    config: dict[str, Any]
    averaged: bool

    def describe(self) -> dict[str, Any]:
        """The architecture, ready for JSON."""
        return dump_arch(self.space, self.arch, self.input_size)

    @property
    def search_name(self) -> str:
        """Name of the search's config, as far as the checkpoint knows it."""
        name = str(self.meta.get('experiment_name') or 'hrnas-search')
        return re.sub(r'_\d{8}_\d{6}$', '', name)


def search_result(
    checkpoint: Mapping[str, Any], config: Mapping[str, Any] | None = None
) -> SearchResult:
    """Understand a checkpoint: shapes of the weights tell, notes must agree.

    Args:
        checkpoint: As ``torch.load`` gives it.
        config: Config of the search in plain dicts; the text in the checkpoint's notes
            if None.

    Raises:
        ValueError: If it is no such checkpoint, or two sources contradict each other
            (the message names both).
    """
    meta = dict(checkpoint.get('meta') or {})
    if config is None:
        config = read_config_text(str(meta.get('cfg', '')))
    stated = meta.get('hrnas_arch')
    space = _space(stated, config)
    weights = checkpoint.get('state_dict')
    if not isinstance(weights, Mapping):
        raise ValueError('the checkpoint has no state_dict')
    with torch.device('meta'):
        net = HRNASNet(space=asdict(space))
    names = [f'backbone.{name}' for name, _ in net.named_blocks()]
    arch = infer_arch(weights, names)
    if arch is None:
        raise ValueError(
            'the checkpoint has not every block of the space below backbone.*; its '
            f'keys are like {list(weights)[:3]}'
        )
    if stated is not None:
        _agree(names, parse_arch(space, stated['blocks']), arch)
    return SearchResult(
        space=space,
        arch=arch,
        input_size=_input_size(stated or {}, config),
        weights=dict(weights),
        meta=meta,
        config=without_scope(config, str(config.get('default_scope', 'mmpose'))),
        averaged='ema_state_dict' in checkpoint,
    )


def _space(stated: Mapping | None, config: Mapping[str, Any]) -> SearchSpace:
    """The space that notes and config agree on."""
    backbone = config.get('model', {}).get('backbone')
    if stated is None and backbone is None:
        raise ValueError(
            'the checkpoint notes neither its architecture nor its config: name the '
            "search's config"
        )
    spaces = []
    if stated is not None:
        spaces.append(resolve_arch(stated, None)[0])
    if backbone is not None:
        given = backbone.get('arch'), backbone.get('space')
        spaces.append(resolve_arch(*given)[0])
    first, second = asdict(spaces[0]), asdict(spaces[-1])
    differing = ', '.join(
        f'{name} is {first[name]} and {second[name]}'
        for name in first
        if first[name] != second[name]
    )
    if differing:
        raise ValueError(
            f"the notes of the checkpoint (meta['hrnas_arch']) and the config have "
            f'different spaces: {differing}'
        )
    return spaces[0]


def _agree(
    names: Sequence[str], stated: Sequence[BlockArch], found: Sequence[BlockArch]
) -> None:
    rows = [row for row in zip(names, stated, found, strict=True) if row[1] != row[2]]
    if rows:
        listed = ''.join(f'\n  {n}: notes {s}, weights {f}' for n, s, f in rows)
        raise ValueError(
            "the checkpoint's notes (meta['hrnas_arch']) and its weights differ in "
            f'{len(rows)} blocks:{listed}'
        )


def _input_size(
    stated: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[int, int] | None:
    """Width and height that notes and config agree on."""
    head = config.get('model', {}).get('head') or {}
    codec = head.get('decoder') or config.get('codec') or {}
    sizes = [stated.get('input_size'), codec.get('input_size')]
    known = [(int(size[0]), int(size[1])) for size in sizes if size]
    if known and known[0] != known[-1]:
        raise ValueError(
            f'input_size (W, H) is {known[0]} in the checkpoint and {known[1]} in the '
            'config'
        )
    return known[0] if known else None
