"""Attention in a TokenPose head and what pruning keeps, computed again.

The fused operator that computes attention keeps its probabilities to itself, so they
are made again from the tokens that a layer saw and the layer's own projection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .panels import Panel, Section, Seen, spread
from .record import Calls

_LAYERS = 12  # shown at most
_GRAPHS = 6  # layers of attention among keypoints, at most
_PATCHES = 2  # keypoints whose patch is shown as a query
_NOTE = (
    'mean over heads; below a layer: the share that goes to patches, then least and '
    'most that a patch gets in %, which are the ends of the colours; light grey: pruned'
)


# Attention -------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerAttention:
    """Attention of one layer for one image, over the N tokens there were at first.

    Keypoint tokens come first; graph layers have no others.

    Attributes:
        probabilities: ``(h, N, N)`` of query and key, 0 where a token is gone.
        allowed: ``(N, N)``, false where a connection was pruned or a token is gone.
    """

    probabilities: Tensor
    allowed: Tensor

    def on_patches(self, query: int, front: int) -> np.ndarray:
        """Mean over heads of one query's attention to the patches.

        Args:
            query: Number of its token.
            front: Number J of keypoint tokens.

        Returns:
            ``(n,)``; NaN where the connection was pruned or the patch is gone.
        """
        heat = self.probabilities[:, query, front:].mean(dim=0).double()
        return heat.masked_fill(~self.allowed[query, front:], torch.nan).numpy()

    def among_patches(self, front: int) -> np.ndarray:
        """Which patches each patch that is left may see, boolean ``(n', n)``."""
        seen = self.allowed[front:, front:]
        return seen[seen.any(dim=1)].numpy()


def attention_parts(head: nn.Module) -> list[nn.Module]:
    """Modules of a head to record: norms and projections of its layers, choices."""
    parts = [
        part
        for layer in _layers(head).values()
        for part in (layer.attention_norm, layer.attention.out)
    ]
    pruning: Any = head.pruning
    return parts + ([] if pruning is None else [*pruning.selectors.values()])


def _layers(head: nn.Module) -> dict[str, Any]:
    """Layers by name: a number, or ``'graph 0'`` and so on."""
    encoders: Any = head.encoders
    graph: Any = head.graph_layers
    layers = [layer for encoder in encoders for layer in encoder]
    named = {str(i): layer for i, layer in enumerate(layers)}
    return named | {f'graph {i}': layer for i, layer in enumerate(graph)}


def token_grid(head: nn.Module) -> tuple[int, int]:
    """Columns and rows of the patches."""
    embedding: Any = head.patch_embedding
    shape: Any = head.in_shape
    width, height = embedding.patch_size
    return shape[2] // width, shape[1] // height


def head_attention(head: nn.Module, calls: Calls) -> dict[str, LayerAttention]:
    """Attention of every layer, under the pruning that held there.

    Args:
        head: A ``TokenPoseHead``.
        calls: Record of its :func:`attention_parts`.

    Returns:
        Layer, a number or ``'graph 0'`` and so on, to its attention.
    """
    pruning: Any = head.pruning
    joint_mask: Any = head.joint_mask
    drops = pruning is not None and pruning.config.mode == 'token'
    front = _front(head)
    count = front + math.prod(token_grid(head))
    there = torch.arange(count)  # tokens that are left
    mask: Tensor | None = None
    found = {}
    for name, layer in _layers(head).items():
        if name.startswith('graph'):
            count, there, mask = front, torch.arange(front), joint_mask
        weight, allowed = _attention(
            layer.attention,
            calls[layer.attention_norm].output,
            None if mask is None else mask.cpu(),
            pruning.config.mask_eps if mask is not None and name.isdigit() else 0.0,
        )
        rows, keys = torch.arange(len(there)), there
        if pruning is not None and name in pruning.selectors:
            kept = calls[pruning.selectors[name]].output
            if drops:
                # Dropped tokens are still keys here, but no queries any more.
                rows = torch.cat((torch.arange(front), kept[0].cpu() + front))
                there = there[rows]
            else:
                mask = _full_mask(head, kept)
        whole = weight.new_zeros(len(weight), count, count)
        whole[:, there[:, None], keys] = weight[:, rows]
        seen = torch.zeros(count, count, dtype=torch.bool)
        seen[there[:, None], keys] = allowed[rows]
        found[name] = LayerAttention(whole, seen)
    return found


def _front(head: nn.Module) -> int:
    """Number of keypoint tokens."""
    tokens: Any = head.keypoint_tokens
    return int(tokens.shape[1])


def _full_mask(head: nn.Module, kept: Tensor) -> Tensor:
    """Who may look at whom ``(N, N)`` under a choice; keypoints are seen by all."""
    pruning: Any = head.pruning
    front, visual = _front(head), math.prod(token_grid(head))
    mask = pruning.as_mask(kept)[0].cpu()  # one row for all queries, or (n, n)
    if mask.shape[0] == 1:
        return F.pad(mask, (front, 0), value=True).expand(front + visual, -1)
    return F.pad(mask, (front, 0, front, 0), value=True)


@torch.no_grad()
def _attention(
    attention: Any, normed: Tensor, mask: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """Probabilities ``(h, N, N)`` and what is allowed ``(N, N)`` of a layer.

    ``eps`` smooths as ``masked_attention`` does.
    """
    query, key, _ = (part[0].cpu() for part in attention.project(normed))
    count = query.shape[1]
    allowed = torch.ones(count, count, dtype=torch.bool) if mask is None else mask
    logits = query @ key.transpose(1, 2) * attention.scale
    logits = logits.masked_fill(~allowed, -torch.inf)
    weight = (logits - logits.amax(dim=-1, keepdim=True)).exp()
    return (weight + eps / count) / (weight.sum(dim=-1, keepdim=True) + eps), allowed


# Panels ----------------------------------------------------------------------------


def attention_sections(seen: Seen, head: nn.Module) -> list[Section]:
    """What keypoints look at; with pruning also what the patches below them may see."""
    found, front = head_attention(head, seen.calls), _front(head)
    encoder = [name for name in found if name.isdigit()]
    shown = {encoder[i]: found[encoder[i]] for i in spread(len(encoder), _LAYERS)}
    sections = []
    for i, keypoint in enumerate(seen.chosen):
        title = f'Attention of the keypoint token “{seen.names[keypoint]}”'
        panels = [
            _looks(head, name, one, keypoint, keypoint) for name, one in shown.items()
        ]
        sections.append(Section(title, panels, '' if i else _NOTE, _LAYERS))
    own = {name: one for name, one in shown.items() if _chooses(one, front)}
    for keypoint in seen.chosen[:_PATCHES] if own else ():
        query = front + _patch_of(seen, head, keypoint)
        title = f'Attention of the patch below “{seen.names[keypoint]}”'
        panels = [_looks(head, name, one, query, keypoint) for name, one in own.items()]
        sections.append(Section(title, panels, 'light grey: pruned for it', _LAYERS))
    return [*sections, _among_keypoints(found, front)]


def _chooses(one: LayerAttention, front: int) -> bool:
    """Whether patches choose for themselves what they see."""
    seen = one.among_patches(front)
    return bool(len(seen)) and not (seen == seen[-1]).all()


def _patch_of(seen: Seen, head: nn.Module, keypoint: int) -> int:
    """Number of the patch in which a keypoint lies, the nearest if outside."""
    grid = np.array(token_grid(head))
    share = seen.points[keypoint, :2] / seen.crop.shape[1::-1]
    column, row = np.clip((share * grid).astype(int), 0, grid - 1)
    return int(row * grid[0] + column)


def _on_grid(head: nn.Module, values: np.ndarray) -> np.ndarray:
    return values.reshape(token_grid(head)[::-1])


def _looks(
    head: nn.Module, name: str, one: LayerAttention, query: int, mark: int
) -> Panel:
    """Attention of one query to the patches."""
    heat = one.on_patches(query, _front(head))
    low, high = 100 * np.nanmin(heat), 100 * np.nanmax(heat)
    numbers = f'{np.nansum(heat):.0%}; {low:.1f} to {high:.1f}'
    return Panel(f'layer {name}\n{numbers}', _on_grid(head, heat), marks=[mark])


def _among_keypoints(found: Mapping[str, LayerAttention], front: int) -> Section:
    """Who looks at whom among the keypoints, in graph layers if there are any."""
    graph = [name for name in found if not name.isdigit()]
    names = graph or [*found]
    panels = []
    for name in (names[i] for i in spread(len(names), _GRAPHS)):
        among = found[name].probabilities[:, :front, :front].mean(dim=0)
        links = torch.maximum(among, among.T).fill_diagonal_(0).double().numpy()
        inside = f'{among.sum(dim=1).mean():.0%} stay, max {links.max():.1%}'
        title = f'{name if graph else f"layer {name}"}\n{inside}'
        panels.append(Panel(title, links=links, marks=None))
    return Section(
        f'Attention among keypoints, {"graph" if graph else "encoder"} layers',
        panels,
        'a line is as strong as the larger of both directions, relative to the panel',
    )


def pruning_sections(seen: Seen, head: nn.Module) -> list[Section]:
    """What is kept after each pruning layer, and who sees whom in graph layers."""
    pruning: Any = head.pruning
    found, front = head_attention(head, seen.calls), _front(head)
    mode = f'mode {pruning.config.mode}'
    # A choice holds from the next layer on.
    after = {
        name: found[str(int(name) + 1)]
        for name in pruning.selectors
        if str(int(name) + 1) in found
    }
    sections, panels = [], []
    if any(_chooses(one, front) for one in after.values()):
        for keypoint in seen.chosen[:_PATCHES]:
            query = front + _patch_of(seen, head, keypoint)
            own = [
                _keeps(head, name, one.allowed[query, front:].numpy(), [keypoint])
                for name, one in after.items()
            ]
            title = f'What the patch below “{seen.names[keypoint]}” may see, {mode}'
            sections.append(Section(title, own, 'dark: pruned for it'))
        for name, one in after.items():
            share = _on_grid(head, one.among_patches(front).mean(axis=0))
            numbers = f'{share.min():.0%} to {share.max():.0%}'
            panels.append(Panel(f'after layer {name}\n{numbers}', share, low=0.0))
        title, note = f'Share of the patches that see a patch, {mode}', ''
    else:
        for name, one in after.items():
            panels.append(_keeps(head, name, one.among_patches(front)[0], None))
        title, note = f'What pruning keeps, {mode}', 'dark: pruned for all patches'
    joint_mask: Any = head.joint_mask
    if joint_mask is not None:
        links = joint_mask.cpu().double().fill_diagonal_(0).numpy()
        panels.append(Panel('graph layers:\nwho sees whom', links=links, marks=None))
    return [*sections, Section(title, panels, note)] if panels else []


def _keeps(
    head: nn.Module, name: str, kept: np.ndarray, marks: Sequence[int] | None
) -> Panel:
    """Patches that are kept after a layer."""
    title = f'after layer {name}\n{kept.sum()} of {kept.size}'
    return Panel(title, kept=_on_grid(head, kept), marks=marks)
