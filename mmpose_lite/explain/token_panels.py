"""Panels of a TokenPose head: where its keypoint tokens look, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from .panels import Panel, Section, spread
from .recording import Call
from .token_attention import LayerAttention, head_attention

_MOST = 12  # layers
_PATCHES = 2  # keypoints whose patch is shown as a query
_NOTE = (
    'mean over heads; below a layer: the share that goes to patches, then least and '
    'most that a patch gets in %, which are the ends of the colours; light grey: pruned'
)
_GRAPHS = 6  # layers of attention among keypoints


def token_sections(
    head: nn.Module,
    calls: Mapping[str, Call],
    names: Sequence[str],
    chosen: Sequence[int],
    cells: Sequence[int],
) -> list[Section]:
    """What keypoints look at; with pruning also what the patches below them may see.

    Args:
        head: A ``TokenPoseHead``.
        calls: Record of its parts.
        names: Of all keypoints.
        chosen: Numbers of the keypoints to show.
        cells: Visual token below each of the chosen keypoints.
    """
    layers = head_attention(head, calls)
    encoder = {k: one for k, one in layers.items() if k.isdigit()}
    numbers = [list(encoder)[i] for i in spread(len(encoder), _MOST)]
    shown = {number: encoder[number] for number in numbers}
    grid = token_grid(head)
    sections = [
        Section(
            f'Attention of the keypoint token “{_plain(names[joint])}”',
            [
                _looks(f'layer {k}', one, joint, grid, [joint])
                for k, one in shown.items()
            ],
            '' if i else _NOTE,
            _MOST,
        )
        for i, joint in enumerate(chosen)
    ]
    sections += _patch_sections(shown, names, chosen, cells, grid)
    sections.append(_graph_section(layers, len(names)))
    return sections


def _plain(name: str) -> str:
    return name.replace('_', ' ')


def token_grid(head: nn.Module) -> tuple[int, int]:
    """Columns and rows of the visual tokens."""
    embedding: Any = head.patch_embedding
    shape: Any = head.in_shape
    width, height = embedding.patch_size
    return shape[2] // width, shape[1] // height


def _looks(
    title: str,
    one: LayerAttention,
    row: int,
    grid: tuple[int, int],
    marks: Sequence[int],
) -> Panel:
    """Attention of one query to the patches."""
    columns, rows = grid
    heat = one.on_grid(row, columns * rows).double().numpy().reshape(rows, columns)
    low, high = 100 * np.nanmin(heat), 100 * np.nanmax(heat)
    seen = f'{np.nansum(heat):.0%}; {low:.1f} to {high:.1f}'
    return Panel(f'{title}\n{seen}', heat, marks=marks)


def _patch_sections(
    layers: Mapping[str, LayerAttention],
    names: Sequence[str],
    chosen: Sequence[int],
    cells: Sequence[int],
    grid: tuple[int, int],
) -> list[Section]:
    """Patches as queries, where each of them sees other ones; else nothing."""
    per_query = {
        k: one
        for k, one in layers.items()
        if len(one.queries) and not (one.allowed == one.allowed[-1]).all()
    }
    sections = []
    for joint, cell in list(zip(chosen, cells, strict=True))[:_PATCHES]:
        panels = []
        for number, one in per_query.items():
            front = one.probabilities.shape[1] - len(one.queries)
            panels.append(_looks(f'layer {number}', one, front + cell, grid, [joint]))
        if panels:
            title = f'Attention of the patch below “{_plain(names[joint])}”'
            sections.append(Section(title, panels, 'light grey: pruned for it', _MOST))
    return sections


def _graph_section(layers: Mapping[str, LayerAttention], count: int) -> Section:
    """Who looks at whom among the keypoints, in graph layers if there are any."""
    graph = {k: one for k, one in layers.items() if not k.isdigit()}
    picked = graph or layers
    keys = [list(picked)[i] for i in spread(len(picked), _GRAPHS)]
    panels = []
    for key in keys:
        among = (
            picked[key].probabilities[:, :count, :count].mean(dim=0).double().numpy()
        )
        links = np.maximum(among, among.T)
        np.fill_diagonal(links, 0)
        title = key if graph else f'layer {key}'
        inside = f'{among.sum(axis=1).mean():.0%} stay, max {links.max():.1%}'
        panels.append(Panel(f'{title}\n{inside}', links=links, marks=None))
    kind = 'graph layers' if graph else 'encoder layers'
    return Section(
        f'Attention among keypoints, {kind}',
        panels,
        'a line is as strong as the larger of both directions, relative to the panel',
    )
