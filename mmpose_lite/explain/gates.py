"""Gates of SUSA, polarized self-attention and Lite-HRNet, from what modules saw.

Gates are computed in passing and multiplied at once; what is recorded are the layers
before their sigmoid, or the input from which a module makes its gates again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..models.layers import (
    SUSA,
    ConditionalChannelWeighting,
    PolarizedSelfAttention,
)
from .panels import Panel, Section, spread
from .recording import Call

_MOST = 6  # panels of the same resolution

Maps = list[tuple[str, Panel]]
"""Chain of blocks, such as ``'stage1.0.layers.0'``, to the panel of its last block."""


def modules_of(
    model: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...]
) -> dict[str, Any]:
    """Modules of a type by their names."""
    return {name: m for name, m in model.named_modules() if isinstance(m, kind)}


# SUSA ------------------------------------------------------------------------------


def susa_parts(model: nn.Module) -> dict[str, nn.Module]:
    """What to record of SUSA: inputs, and gates before the sigmoid."""
    parts: dict[str, nn.Module] = {}
    for name, module in modules_of(model, SUSA).items():
        parts |= {name: module, f'{name}.ln': module.ln}
    return parts


def susa_gate(calls: Mapping[str, Call], name: str) -> Tensor:
    """Gates of a SUSA, ``(1, C, H, 1)`` or ``(1, C, 1, W)``."""
    return calls[f'{name}.ln'].output.movedim(-1, 1).sigmoid()


def susa_profile(calls: Mapping[str, Call], name: str) -> np.ndarray:
    """Which share of a map's magnitude each row (column) lets pass, ``(H,)``.

    That is the mean of the gates over channels, weighted by what they act on. The plain
    mean would be the same for all rows, for a layer norm over channels stands before
    the sigmoid.
    """
    gate, x = susa_gate(calls, name), calls[name].input.abs()
    axis = 2 if gate.shape[3] == 1 else 3
    others = (1, 5 - axis)
    return _array((x * gate).sum(others)[0] / x.sum(others)[0].clamp_min(1e-12))


def susa_sections(model: nn.Module, calls: Mapping[str, Call]) -> list[Section]:
    """Row and column gates of the last block of every chain."""
    maps: dict[str, Panel] = {}
    found = modules_of(model, SUSA)
    for block in dict.fromkeys(name.rpartition('.branch2')[0] for name in found):
        inside = [name for name in found if name.startswith(f'{block}.')]
        strips = {found[name].axis: susa_profile(calls, name) for name in inside}
        rows, columns = strips['h'], strips['w']
        title = f'rows {_range(rows)}\ncolumns {_range(columns)}'
        # Their product is what a place keeps after both.
        panel = Panel(title, rows[:, None] * columns, rows=rows, columns=columns)
        maps[block.rpartition('.')[0]] = panel
    return _sections(
        list(maps.items()),
        'Row and column gates (SUSA)',
        'share of the magnitude that each row and column lets pass; colours: their '
        'product, from the least to the most',
    )


# Polarized self-attention ----------------------------------------------------------


def psa_parts(model: nn.Module) -> dict[str, nn.Module]:
    """What to record of polarized self-attention: its input and output."""
    return modules_of(model, PolarizedSelfAttention)


@torch.no_grad()
def psa_gates(module: PolarizedSelfAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """Channel gate ``(1, C, 1, 1)`` and spatial gate ``(1, 1, H, W)`` for an input."""
    by_channel = module.channel_gate(x)
    seen = x if module.layout == 'parallel' else x * by_channel
    return by_channel, module.spatial_gate(seen)


def psa_sections(model: nn.Module, calls: Mapping[str, Call]) -> list[Section]:
    """Spatial and channel gates of the last block of every chain."""
    maps: dict[str, Panel] = {}
    for name, module in psa_parts(model).items():
        assert isinstance(module, PolarizedSelfAttention)
        by_channel, by_place = psa_gates(module, calls[name].input)
        heat, bars = _array(by_place[0, 0]), _array(by_channel.flatten())
        title = f'places {_range(heat)}\nchannels {_range(bars)}'
        maps[name.rsplit('.', 2)[0]] = Panel(title, heat, bars=bars)
    return _sections(
        list(maps.items()),
        'Spatial and channel gates (polarized self-attention)',
        'colours: spatial gate, from least to most; area: channel gates, sorted',
    )


# Lite-HRNet ------------------------------------------------------------------------


def ccw_parts(model: nn.Module) -> dict[str, nn.Module]:
    """What to record of conditional channel weighting: weights, after their sigmoid."""
    parts: dict[str, nn.Module] = {}
    for name, module in modules_of(model, ConditionalChannelWeighting).items():
        parts[f'{name}.cross'] = module.cross_resolution_weighting.conv2
        for i, weighting in enumerate(module.spatial_weighting):
            parts[f'{name}.spatial.{i}'] = weighting.conv2
    return parts


def ccw_weights(
    module: ConditionalChannelWeighting, calls: Mapping[str, Call], name: str
) -> list[tuple[Tensor, Tensor]]:
    """Of every resolution: cross-resolution weights ``(1, C, h, w)``, spatial ones.

    The first are of the lowest resolution's size and stretched onto each map; the
    second are ``(1, C, 1, 1)``.
    """
    widths = module.cross_resolution_weighting.channels
    cross = calls[f'{name}.cross'].output.split(widths, dim=1)
    return [
        (weights, calls[f'{name}.spatial.{i}'].output)
        for i, weights in enumerate(cross)
    ]


def ccw_sections(model: nn.Module, calls: Mapping[str, Call]) -> list[Section]:
    """Weights of the last block of every module, for every resolution."""
    maps: dict[str, Panel] = {}
    for name, module in modules_of(model, ConditionalChannelWeighting).items():
        for i, (cross, spatial) in enumerate(ccw_weights(module, calls, name)):
            heat, bars = _array(cross[0].mean(dim=0)), _array(spatial.flatten())
            title = f'cross {_range(heat)}\nspatial {_range(bars)}'
            maps[f'{name.rpartition(".")[0]}.{i}'] = Panel(title, heat, bars=bars)
    return _sections(
        list(maps.items()),
        'Cross-resolution and spatial weights (conditional channel weighting)',
        'colours: cross-resolution weights, mean over channels, from least to most; '
        'area: channel weights from the global average ("spatial"), sorted',
    )


# Both ------------------------------------------------------------------------------


def _level(chain: str) -> int:
    """Resolution of a chain named as HRNets name theirs; stage of a ResNet."""
    last = chain.rpartition('.')[2]
    number = int(re.sub(r'\D', '', last) or 0)
    return number if last.isdigit() else max(number - 1, 0)


def _sections(maps: Maps, title: str, note: str) -> list[Section]:
    """The highest resolution from first to last, then the last of each resolution."""
    highest = [(chain, panel) for chain, panel in maps if _level(chain) == 0]
    last = {_level(chain): (chain, panel) for chain, panel in maps}
    sections = []
    if len(highest) > 1:
        chosen = [highest[i] for i in spread(len(highest), _MOST)]
        sections.append(
            Section(
                f'{title}: highest resolution', [_named(*one) for one in chosen], note
            )
        )
    if len(last) > 1 or not sections:
        chosen = [last[number] for number in sorted(last)]
        sections.append(
            Section(f'{title}: last of every resolution', [_named(*o) for o in chosen],
                    '' if sections else note)
        )  # fmt: skip
    return sections


def _named(chain: str, panel: Panel) -> Panel:
    """The panel with its place in the network above its title."""
    place = chain.removeprefix('backbone.')
    return Panel(**{**vars(panel), 'title': f'{place}\n{panel.title}'})


def _range(values: np.ndarray) -> str:
    """Least and most, with as many digits as tell them apart."""
    low, high = float(values.min()), float(values.max())
    pairs = [(f'{low:.{digits}f}', f'{high:.{digits}f}') for digits in (2, 3, 4, 5)]
    first, last = next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
    return f'{first} to {last}'


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
