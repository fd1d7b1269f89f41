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

from ..models.layers import SUSA, ConditionalChannelWeighting, PolarizedSelfAttention
from .panels import Panel, Section, Seen, spread
from .record import Calls

_MOST = 6  # panels of the same resolution


def modules_of(model: nn.Module, kind: type[nn.Module]) -> dict[str, Any]:
    """Modules of a type by their names."""
    return {name: m for name, m in model.named_modules() if isinstance(m, kind)}


# SUSA ------------------------------------------------------------------------------


def susa_parts(model: nn.Module) -> list[nn.Module]:
    """What to record of SUSA: inputs, and gates before the sigmoid."""
    found = modules_of(model, SUSA).values()
    return [part for susa in found for part in (susa, susa.ln)]


def susa_gate(calls: Calls, susa: SUSA) -> Tensor:
    """Gates of a SUSA, ``(1, C, H, 1)`` or ``(1, C, 1, W)``."""
    return calls[susa.ln].output.movedim(-1, 1).sigmoid()


def susa_profile(calls: Calls, susa: SUSA) -> np.ndarray:
    """Which share of a map's magnitude each row (column) lets pass, ``(H,)``.

    That is the mean of the gates over channels, weighted by what they act on. The plain
    mean would be the same for all rows, for a layer norm over channels stands before
    the sigmoid.
    """
    gate, x = susa_gate(calls, susa), calls[susa].input.abs()
    others = (1, 5 - susa.dim)
    return _array((x * gate).sum(others)[0] / x.sum(others)[0].clamp_min(1e-12))


def susa_sections(seen: Seen) -> list[Section]:
    """Row and column gates of the last block of every chain."""
    strips: dict[str, dict[str, np.ndarray]] = {}
    for name, susa in modules_of(seen.model, SUSA).items():
        chain = name.rpartition('.branch2')[0].rpartition('.')[0]
        strips.setdefault(chain, {})[susa.axis] = susa_profile(seen.calls, susa)
    panels = {}
    for chain, found in strips.items():
        rows, columns = found['h'], found['w']
        title = _title(chain, rows=rows, columns=columns)
        # Their product is what a place keeps after both.
        heat = rows[:, None] * columns
        panels[chain] = Panel(title, heat, rows=rows, columns=columns)
    return _sections(
        panels,
        'Row and column gates (SUSA)',
        'share of the magnitude that each row and column lets pass; colours: their '
        'product, from the least to the most',
    )


# Polarized self-attention ----------------------------------------------------------


def psa_parts(model: nn.Module) -> list[nn.Module]:
    """What to record of polarized self-attention: its input and output."""
    return [*modules_of(model, PolarizedSelfAttention).values()]


@torch.no_grad()
def psa_gates(psa: PolarizedSelfAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """Channel gate ``(1, C, 1, 1)`` and spatial gate ``(1, 1, H, W)`` for an input."""
    by_channel = psa.channel_gate(x)
    seen = x if psa.layout == 'parallel' else x * by_channel
    return by_channel, psa.spatial_gate(seen)


def psa_sections(seen: Seen) -> list[Section]:
    """Spatial and channel gates of the last block of every chain."""
    panels = {}
    for name, psa in modules_of(seen.model, PolarizedSelfAttention).items():
        by_channel, by_place = psa_gates(psa, seen.calls[psa].input)
        heat, bars = _array(by_place[0, 0]), _array(by_channel.flatten())
        chain = name.rsplit('.', 2)[0]
        title = _title(chain, places=heat, channels=bars)
        panels[chain] = Panel(title, heat, bars=bars)
    return _sections(
        panels,
        'Spatial and channel gates (polarized self-attention)',
        'colours: spatial gate, from least to most; area: channel gates, sorted',
    )


# Lite-HRNet ------------------------------------------------------------------------


def ccw_parts(model: nn.Module) -> list[nn.Module]:
    """What to record of conditional channel weighting: weights, after their sigmoid."""
    return [
        weighting.conv2
        for ccw in modules_of(model, ConditionalChannelWeighting).values()
        for weighting in (ccw.cross_resolution_weighting, *ccw.spatial_weighting)
    ]


def ccw_weights(calls: Calls, ccw: Any) -> list[tuple[Tensor, Tensor]]:
    """Of every resolution: cross-resolution weights ``(1, C, h, w)``, spatial ones.

    The first are of the lowest resolution's size and stretched onto each map; the
    second are ``(1, C, 1, 1)``.
    """
    cross = ccw.cross_resolution_weighting
    split = calls[cross.conv2].output.split(cross.channels, dim=1)
    spatial = [calls[weighting.conv2].output for weighting in ccw.spatial_weighting]
    return list(zip(split, spatial, strict=True))


def ccw_sections(seen: Seen) -> list[Section]:
    """Weights of the last block of every module, for every resolution."""
    panels = {}
    for name, ccw in modules_of(seen.model, ConditionalChannelWeighting).items():
        for i, (cross, spatial) in enumerate(ccw_weights(seen.calls, ccw)):
            heat, bars = _array(cross[0].mean(dim=0)), _array(spatial.flatten())
            chain = f'{name.rpartition(".")[0]}.{i}'
            title = _title(chain, cross=heat, spatial=bars)
            panels[chain] = Panel(title, heat, bars=bars)
    return _sections(
        panels,
        'Cross-resolution and spatial weights (conditional channel weighting)',
        'colours: cross-resolution weights, mean over channels, from least to most; '
        'area: channel weights from the global average ("spatial"), sorted',
    )


# All of them -----------------------------------------------------------------------


def _level(chain: str) -> int:
    """Resolution of a chain named as HRNets name theirs; stage of a ResNet."""
    last = chain.rpartition('.')[2]
    number = int(re.sub(r'\D', '', last) or 0)
    return number if last.isdigit() else max(number - 1, 0)


def _sections(panels: Mapping[str, Panel], title: str, note: str) -> list[Section]:
    """The highest resolution from first to last, then the last of each resolution.

    ``panels`` maps chains of blocks, such as ``'stage1.0.layers.0'``, to the panel of
    their last block; the note stands below the first title.
    """
    highest = [panel for chain, panel in panels.items() if _level(chain) == 0]
    last = {_level(chain): panel for chain, panel in panels.items()}
    sections = []
    if len(highest) > 1:
        chosen = [highest[i] for i in spread(len(highest), _MOST)]
        sections.append(Section(f'{title}: highest resolution', chosen, note))
    if len(last) > 1 or not sections:
        chosen = [last[level] for level in sorted(last)]
        note = '' if sections else note
        sections.append(Section(f'{title}: last of every resolution', chosen, note))
    return sections


def _title(chain: str, **values: np.ndarray) -> str:
    """Place in the network, then a line for each kind of values."""
    lines = [f'{name} {_range(found)}' for name, found in values.items()]
    return '\n'.join([chain.removeprefix('backbone.'), *lines])


def _range(values: np.ndarray) -> str:
    """Least and most, with as many digits as tell them apart."""
    low, high = float(values.min()), float(values.max())
    for digits in (2, 3, 4, 5):
        first, last = f'{low:.{digits}f}', f'{high:.{digits}f}'
        if first != last:
            break
    return f'{first} to {last}'


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
