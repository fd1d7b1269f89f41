"""Attention in a TokenPose head, computed again from what its layers saw.

The fused operator that computes attention keeps its probabilities to itself, so they
are made again from the recorded tokens and the layer's own projection.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .recording import Call


@dataclass(frozen=True)
class LayerAttention:
    """Attention of one layer for one image; keypoint tokens come first.

    Attributes:
        probabilities: ``(h, Nq, Nk)`` of query and key.
        value: ``(h, Nk, d)``.
        queries: Numbers of the visual tokens among the queries.
        keys: Numbers of the visual tokens among the keys; others were dropped.
        allowed: ``(Nq, Nk)``, false where a connection was pruned.
    """

    probabilities: Tensor
    value: Tensor
    queries: Tensor
    keys: Tensor
    allowed: Tensor

    @property
    def heads(self) -> Tensor:
        """Input of the layer's last projection, ``(Nq, D)``."""
        return (self.probabilities @ self.value).transpose(0, 1).flatten(1)

    def on_grid(self, row: int, tokens: int) -> Tensor:
        """Mean over heads of one query's attention to every visual token.

        Args:
            row: Of the query in ``probabilities``.
            tokens: Number n of visual tokens before any was dropped.

        Returns:
            ``(n,)``; NaN where the connection was pruned or the token dropped.
        """
        first = self.allowed.shape[1] - len(self.keys)
        seen = self.probabilities[:, row, first:].mean(dim=0)
        seen = seen.masked_fill(~self.allowed[row, first:], torch.nan)
        return torch.full((tokens,), torch.nan).index_copy(0, self.keys, seen)


def attention_parts(head: nn.Module) -> dict[str, nn.Module]:
    """Modules of a head to record: norms and projections of its layers, choices."""
    parts = {}
    for name, layer in _layers(head).items():
        parts[f'{name}.norm'] = layer.attention_norm
        parts[f'{name}.out'] = layer.attention.out
    pruning: Any = head.pruning
    for name, selector in ({} if pruning is None else pruning.selectors).items():
        parts[f'choice.{name}'] = selector
    return parts


def _layers(head: nn.Module) -> dict[str, Any]:
    encoders: Any = head.encoders
    graph: Any = head.graph_layers
    layers = [layer for encoder in encoders for layer in encoder]
    named = {str(i): layer for i, layer in enumerate(layers)}
    return named | {f'graph {i}': layer for i, layer in enumerate(graph)}


def head_attention(
    head: nn.Module, calls: Mapping[str, Call]
) -> dict[str, LayerAttention]:
    """Attention of every layer, as it was under the pruning of that moment.

    Args:
        head: A ``TokenPoseHead``.
        calls: Record of its :func:`attention_parts`.

    Returns:
        Layer, a number or ``'graph 0'`` and so on, to its attention.
    """
    pruning: Any = head.pruning
    found: dict[str, LayerAttention] = {}
    kept: Tensor | None = None  # the choice that holds, of the layers before
    there: Tensor | None = None  # visual tokens that were not dropped
    for name, layer in _layers(head).items():
        normed = calls[f'{name}.norm'].output
        choice = calls.get(f'choice.{name}')
        if name.startswith('graph'):
            mask: Any = head.joint_mask
            found[name] = _attention(layer.attention, normed, mask)
            continue
        drops = pruning is not None and pruning.config.mode == 'token'
        mask = None if kept is None or drops else _full_mask(head, kept)
        eps = 0.0 if mask is None else pruning.config.mask_eps
        one = _attention(layer.attention, normed, mask, eps)
        if there is None:
            there = torch.arange(one.allowed.shape[1] - _keypoints(head))
        wanted = there
        if choice is not None:
            kept = choice.output
            if drops:
                # Dropped tokens are still keys here, but no queries any more.
                rows = torch.cat(
                    (torch.arange(_keypoints(head)), kept[0].cpu() + _keypoints(head))
                )
                wanted = there[kept[0].cpu()]
                one = LayerAttention(
                    one.probabilities[:, rows], one.value, wanted, there,
                    one.allowed[rows],
                )  # fmt: skip
        found[name] = LayerAttention(
            one.probabilities, one.value, wanted, there, one.allowed
        )
        there = wanted
    return found


def _keypoints(head: nn.Module) -> int:
    tokens: Any = head.keypoint_tokens
    return int(tokens.shape[1])


def _full_mask(head: nn.Module, kept: Tensor) -> Tensor:
    """Who may look at whom ``(N, N)`` under a choice; keypoints are seen by all."""
    pruning: Any = head.pruning
    columns, rows = pruning.grid
    front, visual = _keypoints(head), columns * rows
    mask = pruning.as_mask(kept)[0].cpu()  # one row for all queries, or (n, n)
    if mask.shape[0] == 1:
        return F.pad(mask, (front, 0), value=True).expand(front + visual, -1)
    return F.pad(mask, (front, 0, front, 0), value=True)


@torch.no_grad()
def _attention(
    attention: Any, normed: Tensor, mask: Tensor | None, eps: float = 0.0
) -> LayerAttention:
    """Probabilities of a layer; ``eps`` smooths as ``masked_attention`` does."""
    query, key, value = (part[0].cpu() for part in attention.project(normed))
    count = query.shape[1]
    allowed = torch.ones(count, count, dtype=torch.bool)
    if mask is not None:
        allowed = mask.cpu()
    logits = query @ key.transpose(1, 2) * attention.scale
    logits = logits.masked_fill(~allowed, -torch.inf)
    weight = (logits - logits.amax(dim=-1, keepdim=True)).exp()
    weight = (weight + eps / count) / (weight.sum(dim=-1, keepdim=True) + eps)
    nothing = torch.arange(0)
    return LayerAttention(weight, value, nothing, nothing, allowed)
