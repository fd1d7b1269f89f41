"""Attention that is pruned: who may be looked at, and how that is computed.

Improved TokenPose with Sparsity (arXiv 2311.09653) keeps, for each visual query, the
keys with the largest attention; the cheaper forms share one choice among queries. In
all of them a sequence of N = J + n tokens begins with J keypoint tokens, which see and
are seen by all; only the n visual tokens are pruned. Every function is pure, of static
shapes, and works on single tensors.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def _logits(query: Tensor, key: Tensor, scale: float, mask: Tensor | None) -> Tensor:
    """Scaled products, minus infinity where not allowed."""
    logits = query @ key.transpose(-2, -1) * scale
    return logits if mask is None else logits.masked_fill(~mask, float('-inf'))


def visual_importance(
    query: Tensor,
    key: Tensor,
    scale: float,
    num_keypoints: int,
    mask: Tensor | None = None,
) -> Tensor:
    """Attention that visual keys receive from each query, summed over heads.

    Args:
        query: Any queries ``(B, h, Nq, d)``.
        key: Keys of all tokens ``(B, h, N, d)``.
        num_keypoints: Number J of keypoint tokens in front of ``key``.
        mask: Visual keys allowed to each query, ``(B, Nq or 1, n)``; all if not given.

    Returns:
        ``(B, Nq, n)``, without gradient.
    """
    if mask is not None:
        mask = F.pad(mask, (num_keypoints, 0), value=True)[:, None]
    with torch.no_grad():
        weights = _logits(query, key, scale, mask).softmax(dim=-1)
        return weights[..., num_keypoints:].sum(dim=1)


def top_indices(scores: Tensor, count: int) -> Tensor:
    """Indices of the ``count`` largest scores of the last axis, ascending."""
    return scores.topk(count, dim=-1, sorted=False).indices.sort(dim=-1).values


def row_mask(importance: Tensor, count: int) -> Tensor:
    """For every visual query its ``count`` best keys and itself.

    Boolean ``(B, n, n)``, like the importance; a row has one key more than ``count``
    where itself is not among them.
    """
    mask = torch.eye(importance.shape[-1], dtype=torch.bool, device=importance.device)
    return mask.expand(importance.shape).scatter(
        -1, importance.topk(count, dim=-1).indices, 1
    )


def masked_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    visual_mask: Tensor,
    scale: float,
    eps: float = 0.0,
) -> Tensor:
    """Exact pruned attention: masked logits, full cost.

    Args:
        query, key, value: ``(B, h, N, d)``, like the result.
        visual_mask: Boolean ``(B, n, n)``.
        eps: Smoothing (M exp(s) + eps / N) / (sum + eps) with s relative to the row's
            largest allowed logit, the form of Tri-level E-ViT (arXiv 2211.10801);
            above zero it leaks a little attention to pruned keys.
    """
    keypoints = query.shape[2] - visual_mask.shape[-1]
    mask = F.pad(visual_mask, (keypoints, 0, keypoints, 0), value=True)[:, None]
    if not eps:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scale
        )
    logits = _logits(query, key, scale, mask)
    weight = (logits - logits.amax(dim=-1, keepdim=True)).exp()
    total = weight.sum(dim=-1, keepdim=True) + eps
    return (weight + eps / key.shape[2]) / total @ value


def take_tokens(tensor: Tensor, indices: Tensor) -> Tensor:
    """Rows of the last but one axis: ``(B, ..., N, d)`` and ``(B, K)``."""
    # Whole rows at once: several times as fast as gather, which goes by elements.
    batch, count = tensor.shape[0], tensor.shape[-2]
    rows = tensor.movedim(-2, 1).flatten(0, 1)  # (B * N, ..., d)
    first = torch.arange(batch, device=indices.device)[:, None] * count
    taken = rows.index_select(0, (indices + first).flatten())
    return taken.unflatten(0, (batch, -1)).movedim(1, -2)


def with_keypoints(indices: Tensor, num_keypoints: int) -> Tensor:
    """Indices ``(B, K)`` of visual tokens to those of the sequence, keypoints first."""
    keypoints = torch.arange(num_keypoints, device=indices.device)
    return torch.cat(
        (keypoints.expand(indices.shape[0], -1), indices + num_keypoints), dim=1
    )


def window_members(grid: tuple[int, int], block: int) -> Tensor:
    """Visual tokens of each ``block`` x ``block`` window, ``(windows, block * block)``.

    ``grid`` is the columns and rows of tokens, both multiples of ``block``.
    """
    columns, rows = grid
    tokens = torch.arange(columns * rows).view(rows // block, block, -1, block)
    return tokens.transpose(1, 2).flatten(2).flatten(0, 1)


def window_mask(indices: Tensor, members: Tensor) -> Tensor:
    """The visual mask ``(B, n, n)`` of a choice per window ``(B, windows, K)``."""
    batch, count = indices.shape[0], members.numel()
    per_window = torch.zeros(
        *indices.shape[:2], count, dtype=torch.bool, device=indices.device
    ).scatter(-1, indices, 1)
    rows = per_window.repeat_interleave(members.shape[1], dim=1)
    order = members.flatten().argsort()
    mask = torch.eye(count, dtype=torch.bool, device=indices.device)
    return rows[:, order] | mask.expand(batch, -1, -1)


def windowed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    indices: Tensor,
    members: Tensor,
    scale: float,
) -> Tensor:
    """Pruned attention on gathered keys, one list for all queries of a window.

    A query sees the keypoints, its window's list and itself. Windows of one token give
    exactly :func:`masked_attention` with the row mask of the same choice.

    Args:
        query, key, value: ``(B, h, N, d)``, like the result.
        indices: Visual keys of each window ``(B, windows, K)``.
        members: Tokens of each window ``(windows, m)``.
    """
    windows, size = members.shape
    batch, num_heads = query.shape[:2]
    keypoints = query.shape[2] - members.numel()
    own = members.expand(batch, -1, -1)
    listed = (own[..., None] == indices[:, :, None]).any(dim=-1)  # (B, windows, m)
    slots = with_keypoints(torch.cat((indices, own), -1).flatten(0, 1), keypoints)
    # A query's own slot counts where the list lacks it; other members' never do.
    itself = torch.eye(size, dtype=torch.bool, device=query.device)
    tail = itself & ~listed[..., None, :]  # (B, windows, m, m)
    mask = F.pad(tail, (slots.shape[-1] - size, 0), value=True)[:, None]

    def gathered(tensor: Tensor) -> Tensor:
        taken = take_tokens(tensor, slots.view(batch, -1))
        return taken.unflatten(2, (windows, -1)).flatten(1, 2)

    order = members.flatten()
    grouped = query[:, :, keypoints:][:, :, order].unflatten(2, (windows, size))
    visual = F.scaled_dot_product_attention(
        grouped.flatten(1, 2),
        gathered(key),
        gathered(value),
        attn_mask=mask.expand(-1, num_heads, -1, -1, -1).flatten(1, 2),
        scale=scale,
    )
    visual = visual.unflatten(1, (num_heads, windows)).flatten(2, 3)
    front = F.scaled_dot_product_attention(
        query[:, :, :keypoints], key, value, scale=scale
    )
    return torch.cat((front, visual[:, :, order.argsort()]), dim=2)
