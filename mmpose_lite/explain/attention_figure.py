"""Pictures of what a pruned TokenPose head keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .attention import PruningTrace

_PANEL = 2.2  # inches, width of a panel
_DPI = 110
_DARK = 0.78  # share of black over what is dropped
_QUERY, _LINK, _MIRROR = '#ffd400', '#1f4e9c', '#d1495b'
_TITLES = dict(
    token='Mode token: after each pruning layer, dark patches are gone for good',
    shared='Mode shared: all queries see one list of keys, dark ones are not in it',
    mask='Mode mask: every query keeps keys of its own',
    gather='Mode gather: every query keeps keys of its own',
    block='Mode block: the queries of a window share their keys',
)


def draw_pruning(
    traces: Sequence[PruningTrace],
    dataset_meta: Mapping[str, Any],
    query: str | None = None,
    score_threshold: float = 0.2,
) -> np.ndarray:
    """Draw persons below each other: the prediction, then what each layer keeps.

    Where queries choose for themselves, a first row shows the choice of one of them and
    a second how many queries keep each key.

    Args:
        traces: Persons, traced with one model.
        dataset_meta: Names, links and colours, as a MMPose model carries them.
        query: Name of the keypoint whose patch is the query that is shown; the surest
            one if not given.
        score_threshold: Predicted joints below this score are not drawn.

    Returns:
        ``(H, W, 3)``, ``uint8`` BGR.

    Raises:
        ValueError: If there are no traces, they are of different kinds, or ``query``
            names no keypoint.
    """
    if not traces:
        raise ValueError('traces must hold at least one person, got none')
    kinds = {
        (t.mode, t.crop.shape, tuple(t.kept), t.joint_mask is None) for t in traces
    }
    if len(kinds) > 1:
        raise ValueError(f'traces must be of one model, got {len(kinds)} kinds')
    names = dataset_meta['keypoint_id2name']
    if query is not None and query not in names.values():
        raise ValueError(f'query must be one of {list(names.values())}, got {query!r}')
    first = traces[0]
    graph, rows = first.joint_mask is not None, 2 if first.per_query else 1
    columns = 1 + len(first.kept) + (graph and not first.per_query)
    height = _PANEL * first.crop.shape[0] / first.crop.shape[1] + 0.3
    figure = Figure(
        (columns * _PANEL + 0.8 * first.per_query, rows * len(traces) * height + 0.4),
        dpi=_DPI,
        layout='constrained',
    )
    axes = figure.subplots(rows * len(traces), columns, squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for i, trace in enumerate(traces):
        mine = axes[rows * i : rows * (i + 1)]
        _draw_skeleton(mine[0, 0], trace, dataset_meta, score_threshold)
        if trace.per_query:
            _draw_queries(mine, trace, names, query)
        else:
            _draw_choices(mine[0, 1:], trace)
        if graph:
            place = mine[1, 0] if trace.per_query else mine[0, -1]
            _draw_graph(place, trace, dataset_meta)
    figure.suptitle(_TITLES[first.mode], fontsize=11, fontweight='bold')
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])


def _show(
    axis: Axes, trace: PruningTrace, title: str, faded: float = 0, grey: bool = False
) -> None:
    """The crop, blended with white by ``faded``, below a title."""
    height, width = trace.crop.shape[:2]
    pixels = trace.crop[..., ::-1] * (1 - faded) + 255 * faded
    if grey:
        pixels = np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2)
    axis.imshow(
        pixels.astype(np.uint8), extent=(0, width, height, 0), interpolation='bicubic'
    )
    axis.set(xlim=(0, width), ylim=(height, 0))
    axis.set_title(title, fontsize=9)


def _cells(trace: PruningTrace, values: np.ndarray) -> np.ndarray:
    """``(n,)`` per token to rows and columns."""
    columns, rows = trace.grid
    return values.reshape(rows, columns)


def _darken(axis: Axes, trace: PruningTrace, kept: np.ndarray) -> None:
    """Put a shade over tokens that are not kept."""
    height, width = trace.crop.shape[:2]
    shade = np.zeros((*_cells(trace, kept).shape, 4))
    shade[..., 3] = _DARK * ~_cells(trace, kept)
    axis.imshow(shade, extent=(0, width, height, 0), interpolation='nearest')


def _draw_skeleton(
    axis: Axes, trace: PruningTrace, meta: Mapping[str, Any], threshold: float
) -> None:
    _show(axis, trace, 'input and prediction')
    x, y, score = trace.keypoints.T
    seen = score >= threshold
    colours = np.asarray(meta['skeleton_link_colors']) / 255
    for (i, j), colour in zip(meta['skeleton_links'], colours, strict=True):
        if seen[i] and seen[j]:
            axis.plot(x[[i, j]], y[[i, j]], color=colour, linewidth=1.8)
    _dots(axis, trace, seen)


def _dots(axis: Axes, trace: PruningTrace, seen: np.ndarray | None = None) -> None:
    points = trace.keypoints if seen is None else trace.keypoints[seen]
    axis.scatter(
        points[:, 0], points[:, 1], s=11, c='white', edgecolors='black', linewidths=0.7,
        zorder=3,
    )  # fmt: skip


def _draw_choices(axes: np.ndarray, trace: PruningTrace) -> None:
    """A panel per pruning layer, for a choice that all queries share."""
    for axis, (layer, kept) in zip(axes, trace.kept.items(), strict=False):
        _show(axis, trace, f'layer {layer} keeps {kept.sum()} of {kept.size}')
        _darken(axis, trace, kept)
        _dots(axis, trace)


def _draw_queries(
    axes: np.ndarray,
    trace: PruningTrace,
    names: Mapping[int, str],
    query: str | None,
) -> None:
    """Two panels per pruning layer: keys of one query, and who keeps each key."""
    joint = int(trace.keypoints[:, 2].argmax())
    if query is not None:
        joint = next(i for i, name in names.items() if name == query)
    token = trace.token_at(trace.keypoints[joint])
    height, width = trace.crop.shape[:2]
    columns, rows = trace.grid
    patch = np.array([width / columns, height / rows])
    corner = patch * (token % columns, token // columns)
    frame = corner + patch * np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    for column, (layer, kept) in enumerate(trace.kept.items(), 1):
        axis, own = axes[0, column], kept[token]
        _show(axis, trace, f'layer {layer}: it sees {own.sum()} of {own.size}')
        _darken(axis, trace, own)
        axis.plot(*frame.T, color=_QUERY, linewidth=1.8)
        axis = axes[1, column]
        _show(axis, trace, f'layer {layer}: seen by …', grey=True)
        heat = axis.imshow(
            _cells(trace, 100 * kept.mean(axis=0)), vmin=0, vmax=100, cmap='magma',
            alpha=0.7, extent=(0, width, height, 0), interpolation='nearest',
        )  # fmt: skip
    axes[0, 0].plot(*frame.T, color=_QUERY, linewidth=1.8)
    axes[0, 0].set_title(f'query: {names[joint].replace("_", " ")}', fontsize=9)
    bar = axes[1, -1].figure.colorbar(heat, ax=axes[1, -1], fraction=0.05, pad=0.03)
    bar.ax.yaxis.set_major_formatter('{x:.0f} %')
    bar.set_label('of all queries', fontsize=9)
    bar.ax.tick_params(labelsize=8)


def _draw_graph(axis: Axes, trace: PruningTrace, meta: Mapping[str, Any]) -> None:
    """Lines between joints that see each other in the graph layers."""
    _show(axis, trace, 'graph layers; dashed: mirrored', faded=0.65)
    assert trace.joint_mask is not None
    x, y, _ = trace.keypoints.T
    mirror = meta['flip_indices']
    for i, j in zip(*np.nonzero(np.triu(trace.joint_mask, 1)), strict=True):
        twins = mirror[i] == j
        axis.plot(
            x[[i, j]], y[[i, j]], color=_MIRROR if twins else _LINK,
            linewidth=1.5, linestyle='--' if twins else '-',
        )  # fmt: skip
    _dots(axis, trace)
