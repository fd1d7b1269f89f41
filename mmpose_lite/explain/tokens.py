"""Attention in a TokenPose head and what pruning keeps, computed again.

The fused operator that computes attention keeps its probabilities to itself, so they
are made again from the tokens that a layer saw and the layer's own projection.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
        """Mean over heads of a query token's attention to the patches, ``(n,)``.

        NaN where the connection was pruned or the patch is gone.
        """
        heat = self.probabilities[:, query, front:].mean(dim=0).double()
        return heat.masked_fill(~self.allowed[query, front:], torch.nan).numpy()

    def among_patches(self, front: int) -> np.ndarray:
        """Which patches each patch that is left may see, boolean ``(n', n)``."""
        seen = self.allowed[front:, front:]
        return seen[seen.any(dim=1)].numpy()


def attention_parts(model: nn.Module) -> list[nn.Module]:
    """Modules to record: norms and projections of the head's layers, choices."""
    head: Any = model.head
    parts = [
        part
        for layer in _layers(head).values()
        for part in (layer.attention_norm, layer.attention.out)
    ]
    return parts + ([] if head.pruning is None else [*head.pruning.selectors.values()])


def _layers(head: Any) -> dict[str, Any]:
    """Layers by name: a number, or ``'graph 0'`` and so on."""
    layers = [layer for encoder in head.encoders for layer in encoder]
    named = {str(i): layer for i, layer in enumerate(layers)}
    return named | {f'graph {i}': layer for i, layer in enumerate(head.graph_layers)}


def _grid(head: Any) -> tuple[int, int]:
    """Rows and columns of the patches."""
    width, height = head.patch_embedding.patch_size
    return head.in_shape[1] // height, head.in_shape[2] // width


def _front(head: Any) -> int:
    """Number of keypoint tokens."""
    return int(head.keypoint_tokens.shape[1])


def head_attention(head: Any, calls: Calls) -> dict[str, LayerAttention]:
    """Attention of every layer, by name, under the pruning that held there.

    ``calls`` is the record of the :func:`attention_parts` of a ``TokenPoseHead``.
    """
    pruning, front = head.pruning, _front(head)
    count = front + math.prod(_grid(head))
    there = torch.arange(count)  # tokens that are left
    mask: Tensor | None = None
    found = {}
    for name, layer in _layers(head).items():
        if name.startswith('graph'):
            count, there, mask = front, torch.arange(front), head.joint_mask
        weight, allowed = _attention(
            layer.attention,
            calls[layer.attention_norm].output,
            None if mask is None else mask.cpu(),
            pruning.config.mask_eps if mask is not None and name.isdigit() else 0.0,
        )
        rows, keys = torch.arange(len(there)), there
        if pruning is not None and name in pruning.selectors:
            kept = calls[pruning.selectors[name]].output
            if pruning.config.mode == 'token':
                # Dropped tokens are still keys here, but no queries any more.
                rows = torch.cat((torch.arange(front), kept[0].cpu() + front))
                there = there[rows]
            else:
                # One row for all queries, or one for each; all see the keypoints.
                mask = pruning.as_mask(kept)[0].cpu()
                top = 0 if mask.shape[0] == 1 else front
                mask = F.pad(mask, (front, 0, top, 0), value=True).expand(count, -1)
        whole = weight.new_zeros(len(weight), count, count)
        whole[:, there[:, None], keys] = weight[:, rows]
        seen = torch.zeros(count, count, dtype=torch.bool)
        seen[there[:, None], keys] = allowed[rows]
        found[name] = LayerAttention(whole, seen)
    return found


@torch.no_grad()
def _attention(
    attention: Any, normed: Tensor, mask: Tensor | None, eps: float
) -> tuple[Tensor, Tensor]:
    """Probabilities ``(h, N, N)`` and what is allowed ``(N, N)`` of a layer."""
    query, key, _ = (part[0].cpu() for part in attention.project(normed))
    count = query.shape[1]
    allowed = torch.ones(count, count, dtype=torch.bool) if mask is None else mask
    logits = query @ key.transpose(1, 2) * attention.scale
    logits = logits.masked_fill(~allowed, -torch.inf)
    weight = (logits - logits.amax(dim=-1, keepdim=True)).exp()
    return (weight + eps / count) / (weight.sum(dim=-1, keepdim=True) + eps), allowed


# Panels ----------------------------------------------------------------------------


def attention_sections(seen: Seen) -> list[Section]:
    """What keypoints look at; with pruning also what the patches below them may see."""
    head: Any = seen.model.head
    found, front = head_attention(head, seen.calls), _front(head)
    encoder = [name for name in found if name.isdigit()]
    shown = {encoder[i]: found[encoder[i]] for i in spread(len(encoder), _LAYERS)}
    own = {name: one for name, one in shown.items() if _chooses(one, front)}

    def looks(query: int, mark: int, layers: Mapping[str, LayerAttention]) -> list:
        panels = []
        for name, one in layers.items():
            heat = one.on_patches(query, front)
            low, high = 100 * np.nanmin(heat), 100 * np.nanmax(heat)
            title = f'layer {name}\n{np.nansum(heat):.0%}; {low:.1f} to {high:.1f}'
            panels.append(Panel(title, heat.reshape(_grid(head)), marks=[mark]))
        return panels

    sections = []
    for i, keypoint in enumerate(seen.chosen):
        title = f'Attention of the keypoint token “{seen.names[keypoint]}”'
        panels = looks(keypoint, keypoint, shown)
        sections.append(Section(title, panels, '' if i else _NOTE, _LAYERS))
    for keypoint in seen.chosen[:_PATCHES] if own else ():
        title = f'Attention of the patch below “{seen.names[keypoint]}”'
        panels = looks(_patch_of(seen, head, keypoint), keypoint, own)
        sections.append(Section(title, panels, 'light grey: pruned for it', _LAYERS))
    return [*sections, _among_keypoints(found, front)]


def _chooses(one: LayerAttention, front: int) -> bool:
    """Whether patches choose for themselves what they see."""
    seen = one.among_patches(front)
    return bool(len(seen)) and not (seen == seen[-1]).all()


def _patch_of(seen: Seen, head: Any, keypoint: int) -> int:
    """Token of the patch in which a keypoint lies, the nearest if outside."""
    grid = np.array(_grid(head))
    share = seen.points[keypoint, 1::-1] / seen.crop.shape[:2]
    row, column = np.clip((share * grid).astype(int), 0, grid - 1)
    return int(_front(head) + row * grid[1] + column)


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


def pruning_sections(seen: Seen) -> list[Section]:
    """What is kept after each pruning layer, and who sees whom in graph layers."""
    head: Any = seen.model.head
    found, front, grid = head_attention(head, seen.calls), _front(head), _grid(head)
    mode = f'mode {head.pruning.config.mode}'
    # A choice holds from the next layer on.
    following = {name: str(int(name) + 1) for name in head.pruning.selectors}
    after = {name: found[then] for name, then in following.items() if then in found}

    def keeps(name: str, kept: np.ndarray, marks: list[int] | None) -> Panel:
        title = f'after layer {name}\n{kept.sum()} of {kept.size}'
        return Panel(title, kept=kept.reshape(grid), marks=marks)

    sections, panels = [], []
    if any(_chooses(one, front) for one in after.values()):
        for keypoint in seen.chosen[:_PATCHES]:
            query = _patch_of(seen, head, keypoint)
            own = [
                keeps(name, one.allowed[query, front:].numpy(), [keypoint])
                for name, one in after.items()
            ]
            title = f'What the patch below “{seen.names[keypoint]}” may see, {mode}'
            sections.append(Section(title, own, 'dark: pruned for it'))
        for name, one in after.items():
            share = one.among_patches(front).mean(axis=0).reshape(grid)
            numbers = f'{share.min():.0%} to {share.max():.0%}'
            panels.append(Panel(f'after layer {name}\n{numbers}', share, low=0.0))
        title, note = f'Share of the patches that see a patch, {mode}', ''
    else:
        for name, one in after.items():
            panels.append(keeps(name, one.among_patches(front)[0], None))
        title, note = f'What pruning keeps, {mode}', 'dark: pruned for all patches'
    if head.joint_mask is not None:
        links = head.joint_mask.cpu().double().fill_diagonal_(0).numpy()
        panels.append(Panel('graph layers:\nwho sees whom', links=links, marks=None))
    return [*sections, Section(title, panels, note)] if panels else []
