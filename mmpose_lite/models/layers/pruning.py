"""Pruning of visual tokens or of what they attend to, from layer to layer.

Improved TokenPose with Sparsity (arXiv 2311.09653) re-computes at a few layers which
keys each query keeps, and uses the choice from the next layer on. The paper's row-wise
choice costs as much as no pruning at all; the forms in which a choice is shared, or
tokens are dropped (as in PPT, arXiv 2209.08194), are the ones that save time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...checks import check_fields, each, number, one_of, record_of, whole
from .attention import EncoderLayer, SelfAttention
from .sparse_attention import (
    masked_attention,
    row_mask,
    take_tokens,
    top_indices,
    visual_importance,
    window_mask,
    window_members,
    windowed_attention,
    with_keypoints,
)


class Stream(NamedTuple):
    """What runs through the encoder.

    Attributes:
        tokens: ``(B, N, D)``, keypoint tokens first.
        position: What is added to the tokens before further layers, ``(1 or B, N, D)``
            with zeros for keypoints; None for nothing.
        kept: The choice of the last pruning layer, in the form of its mode.
    """

    tokens: Tensor
    position: Tensor | None = None
    kept: Tensor | None = None

    def with_tokens(self, tokens: Tensor) -> Stream:
        """The stream with other tokens."""
        # Not _replace, which torch.export of 2.6 cannot look into.
        return Stream(tokens, self.position, self.kept)


@dataclass(frozen=True)
class SparseConfig:
    """How visual tokens are pruned.

    Attributes:
        mode: ``'mask'``, the paper's row-wise masks, exact and no cheaper;
            ``'gather'``, the same on gathered keys, a slow reference; ``'block'``, one
            list of keys per window of the token grid; ``'shared'``, one list per image;
            ``'token'``, visual tokens are dropped altogether.
        keep_ratio: Share of visual keys (tokens) to keep. In mode ``'token'`` it counts
            from the tokens still there, and with ``reselect='masked'`` it is raised to
            the number of the pruning layer, so pruning goes on.
        layers: Layers after which a new choice holds, counted from 0 over all encoders.
        reselect: From which attention a choice is made: ``'dense'``, unmasked, so that
            pruned keys may return, or ``'masked'``.
        block: Side of a window in tokens, of mode ``'block'`` only.
        queries: Whose attention makes the choice of mode ``'shared'``: all
            ``'visual'`` queries or, cheaper, those of the ``'keypoint'`` tokens.
        mask_eps: Smoothing of mode ``'mask'``, see :func:`masked_attention`.
    """

    mode: str = 'mask'
    keep_ratio: float = 0.6
    layers: tuple[int, ...] = (3, 6, 9)
    reselect: str = 'dense'
    block: int = 4
    queries: str = 'visual'
    mask_eps: float = 0.0

    def __post_init__(self) -> None:
        check_fields(
            'sparse_cfg',
            self,
            mode=one_of(*MODES),
            keep_ratio=number(most=1, above=0),
            layers=each(whole(0)),
            reselect=one_of('dense', 'masked'),
            queries=one_of('visual', 'keypoint'),
        )
        if self.mode == 'token' and self.reselect == 'masked':
            raise ValueError(
                "sparse_cfg reselect='masked' has no meaning in mode 'token': dropped "
                'tokens cannot return'
            )


def _count(ratio: float, tokens: int) -> int:
    """ceil(ratio * tokens), not one more for a rounding error of the product."""
    return math.ceil(round(ratio * tokens, 6))


class TopIndices(nn.Module):
    """Module twin of :func:`top_indices`."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count

    def forward(self, scores: Tensor) -> Tensor:
        """Indices of the ``count`` largest of the last axis."""
        return top_indices(scores, self.count)


class RowMask(TopIndices):
    """Module twin of :func:`row_mask`."""

    def forward(self, scores: Tensor) -> Tensor:
        """Boolean mask ``(B, n, n)`` of the ``count`` best keys of each row."""
        return row_mask(scores, self.count)


class Pruning(nn.Module):
    """Runs an encoder layer under the present choice and makes the next one.

    ``selectors`` holds one module per pruning layer; a forward hook on them sees (or
    replaces) the choices.

    Args:
        grid: Columns and rows of the visual tokens.

    Raises:
        ValueError: If the windows of mode ``'block'`` do not divide the grid.
    """

    selector: type[nn.Module] = TopIndices

    def __init__(
        self, config: SparseConfig, num_keypoints: int, grid: tuple[int, int]
    ) -> None:
        super().__init__()
        self.config = config
        self.num_keypoints = num_keypoints
        self.grid = grid
        self.by_keypoints = config.mode == 'token' or (
            config.mode == 'shared' and config.queries == 'keypoint'
        )
        counts = self._counts(config, grid[0] * grid[1])
        self.selectors = nn.ModuleDict(
            {
                str(layer): self.selector(count)
                for layer, count in zip(config.layers, counts, strict=True)
            }
        )

    @staticmethod
    def _counts(config: SparseConfig, visual: int) -> list[int]:
        """Keys to keep at each pruning layer, of ``visual`` tokens."""
        masked = config.reselect == 'masked'
        return [
            _count(config.keep_ratio ** (step if masked else 1), visual)
            for step in range(1, len(config.layers) + 1)
        ]

    def forward(self, layer: EncoderLayer, stream: Stream, index: int) -> Stream:
        """One layer; ``index`` counts from 0 over all encoders."""
        attention, kept, name = layer.attention, stream.kept, str(index)
        selects = name in self.selectors
        normed = layer.attention_norm(stream.tokens)
        heads, query, key = self._attend(attention, normed, kept, selects)
        if selects:
            scores = self._scores(query, key, kept, attention.scale)
            kept = self.selectors[name](scores)
        tokens = layer.feed(stream.tokens + attention.merge(heads))
        return Stream(tokens, stream.position, kept)

    def _attend(
        self,
        attention: SelfAttention,
        normed: Tensor,
        kept: Tensor | None,
        selects: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attention of every head under a choice, its queries and its keys.

        ``selects`` asks for the keys of all tokens.
        """
        query, key, value = attention.project(normed)
        if kept is None:
            return attention.attend(query, key, value), query, key
        return self._pruned(query, key, value, kept, attention.scale), query, key

    def _scores(
        self, query: Tensor, key: Tensor, kept: Tensor | None, scale: float
    ) -> Tensor:
        """What a choice is made from, in the shape that the mode's selector takes."""
        front = self.num_keypoints
        masked = self.config.reselect == 'masked' and kept is not None
        queries = query[:, :, :front] if self.by_keypoints else query[:, :, front:]
        mask = self.as_mask(kept) if masked else None
        return self._pool(visual_importance(queries, key, scale, front, mask))

    def _pruned(
        self, query: Tensor, key: Tensor, value: Tensor, kept: Tensor, scale: float
    ) -> Tensor:
        raise NotImplementedError

    def as_mask(self, kept: Tensor) -> Tensor:
        """The visual mask that a choice stands for, ``(B, n or 1, n)``."""
        raise NotImplementedError

    def _pool(self, importance: Tensor) -> Tensor:
        """Importance ``(B, queries, n)`` to the scores of the mode's selector."""
        return importance.sum(dim=1)


class MaskPruning(Pruning):
    """Row-wise masks, the paper's form; a choice is a mask ``(B, n, n)``."""

    selector = RowMask

    def _pruned(
        self, query: Tensor, key: Tensor, value: Tensor, kept: Tensor, scale: float
    ) -> Tensor:
        return masked_attention(query, key, value, kept, scale, self.config.mask_eps)

    def as_mask(self, kept: Tensor) -> Tensor:
        """The choice itself."""
        return kept

    def _pool(self, importance: Tensor) -> Tensor:
        return importance


class WindowPruning(Pruning):
    """One list of keys per window; a choice is ``(B, windows, K)``."""

    def __init__(
        self, config: SparseConfig, num_keypoints: int, grid: tuple[int, int]
    ) -> None:
        super().__init__(config, num_keypoints, grid)
        block = config.block if config.mode == 'block' else 1
        if grid[0] % block or grid[1] % block:
            raise ValueError(
                f'sparse_cfg block must divide the token grid {grid} (columns, rows), '
                f'got {block}'
            )
        self.register_buffer('members', window_members(grid, block), persistent=False)

    def _pruned(
        self, query: Tensor, key: Tensor, value: Tensor, kept: Tensor, scale: float
    ) -> Tensor:
        return windowed_attention(query, key, value, kept, self.members, scale)

    def as_mask(self, kept: Tensor) -> Tensor:
        """The lists of the windows, and everyone itself."""
        return window_mask(kept, self.members)

    def _pool(self, importance: Tensor) -> Tensor:
        return importance[:, self.members].sum(dim=2)


class SharedPruning(Pruning):
    """One list of visual keys per image; a choice is ``(B, K)``."""

    def _attend(
        self,
        attention: SelfAttention,
        normed: Tensor,
        kept: Tensor | None,
        selects: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Attention to the kept keys; only a choice needs the others at all."""
        if kept is None or not selects:
            keys_from = None if kept is None else self._take(normed, kept)
            query, key, value = attention.project(normed, keys_from)
            return attention.attend(query, key, value), query, key
        query, key, value = attention.project(normed)
        heads = attention.attend(query, self._take(key, kept), self._take(value, kept))
        return heads, query, key

    def _take(self, tensor: Tensor, kept: Tensor) -> Tensor:
        return take_tokens(tensor, with_keypoints(kept, self.num_keypoints))

    def as_mask(self, kept: Tensor) -> Tensor:
        """One row for all queries."""
        visual = self.grid[0] * self.grid[1]
        mask = kept.new_zeros(kept.shape[0], visual, dtype=torch.bool)
        return mask.scatter(1, kept, 1)[:, None]


class TokenPruning(Pruning):
    """Visual tokens that the keypoints look at least are dropped for good."""

    @staticmethod
    def _counts(config: SparseConfig, visual: int) -> list[int]:
        """Tokens to keep at each pruning layer, a share of those still there."""
        counts = []
        for _ in config.layers:
            visual = _count(config.keep_ratio, visual)
            counts.append(visual)
        return counts

    def forward(self, layer: EncoderLayer, stream: Stream, index: int) -> Stream:
        """One layer; a pruning layer chooses first, and computes the kept rows only."""
        name, attention = str(index), layer.attention
        if name not in self.selectors:
            return stream.with_tokens(layer(stream.tokens))
        tokens, position = stream.tokens, stream.position
        query, key, value = attention.project(layer.attention_norm(tokens))
        kept = self.selectors[name](self._scores(query, key, None, attention.scale))
        wanted = with_keypoints(kept, self.num_keypoints)
        if position is not None:
            position = position.expand(tokens.shape[0], -1, -1)
            position = take_tokens(position, wanted)
        heads = attention.attend(take_tokens(query, wanted), key, value)
        tokens = take_tokens(tokens, wanted) + attention.merge(heads)
        return Stream(layer.feed(tokens), position, kept)


MODES: dict[str, type[Pruning]] = {
    'mask': MaskPruning,
    'gather': WindowPruning,
    'block': WindowPruning,
    'shared': SharedPruning,
    'token': TokenPruning,
}


def build_pruning(
    options: Mapping[str, Any],
    num_layers: int,
    num_keypoints: int,
    grid: tuple[int, int],
) -> Pruning:
    """The module of ``options['mode']``."""
    config = record_of('sparse_cfg', SparseConfig, options, {})
    layers = config.layers
    if list(layers) != sorted(set(layers) & set(range(num_layers))):
        raise ValueError(
            f'sparse_cfg layers must be increasing numbers from 0 to {num_layers - 1}, '
            f'got {layers}'
        )
    return MODES[config.mode](config, num_keypoints, grid)
