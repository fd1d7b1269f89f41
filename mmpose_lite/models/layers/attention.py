"""Self-attention over tokens and the pre-norm encoder layer around it.

Vaswani et al., arXiv 1706.03762; pre-norm form and names as in TokenPose, arXiv
2104.03516, section 3.2.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """Multi-head self-attention in parts that pruning can use one by one.

    Args:
        embed_dims: Token width D.
        num_heads: Heads h; each sees a contiguous slice of D / h channels.
        scale: Factor of the logits; 1 / sqrt(D / h) if not given.

    Shape:
        - Input, output: ``(B, N, D)``.

    Raises:
        ValueError: If ``num_heads`` does not divide ``embed_dims``.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        scale: float | None = None,
        *,
        bias: bool = True,
        dropout: float = 0,
    ) -> None:
        super().__init__()
        if num_heads < 1 or embed_dims % num_heads:
            raise ValueError(
                f'num_heads must divide embed_dims {embed_dims}, got {num_heads}'
            )
        self.num_heads = num_heads
        self.scale = (embed_dims // num_heads) ** -0.5 if scale is None else scale
        self.dropout = dropout
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims, bias=False)
        self.out = nn.Linear(embed_dims, embed_dims, bias=bias)

    def _split(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        """``(B, N, parts * D)`` to ``parts`` tensors ``(B, h, N, D / h)``."""
        heads = projected.unflatten(-1, (parts, self.num_heads, -1))
        return heads.permute(2, 0, 3, 1, 4).unbind(0)

    def project(
        self, tokens: Tensor, keys_from: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of ``tokens``; keys and values of ``keys_from``, or of the same.

        Three tensors ``(B, h, N, D / h)``, the last two with the ``N`` of
        ``keys_from``.
        """
        if keys_from is None:
            query, key, value = self._split(self.qkv(tokens), 3)
            return query, key, value
        dims = tokens.shape[-1]
        (query,) = self._split(F.linear(tokens, self.qkv.weight[:dims]), 1)
        key, value = self._split(F.linear(keys_from, self.qkv.weight[dims:]), 2)
        return query, key, value

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        """Softmax attention of every head, fused; ``mask`` is true where allowed."""
        dropout = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=dropout, scale=self.scale
        )

    def merge(self, heads: Tensor) -> Tensor:
        """Output projection of ``(B, h, N, D / h)``, giving ``(B, N, D)``."""
        return self.out(heads.transpose(1, 2).flatten(2))

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attention among ``tokens``."""
        return self.merge(self.attend(*self.project(tokens), mask))


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer: attention, then a two-layer perceptron (GELU).

    Args:
        embed_dims: Token width D.
        mlp_ratio: Hidden width of the perceptron over D.

    Shape:
        - Input, output: ``(B, N, D)``.

    Raises:
        ValueError: If ``num_heads`` does not divide ``embed_dims``, or ``mlp_ratio``
            leaves no hidden channel.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        mlp_ratio: float = 3,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        hidden = int(embed_dims * mlp_ratio)
        if hidden < 1:
            raise ValueError(
                f'mlp_ratio must give at least one hidden channel of embed_dims '
                f'{embed_dims}, got {mlp_ratio}'
            )
        self.attention_norm = nn.LayerNorm(embed_dims)
        self.attention = SelfAttention(embed_dims, num_heads, scale)
        self.mlp_norm = nn.LayerNorm(embed_dims)
        self.mlp = nn.Sequential(
            nn.Linear(embed_dims, hidden), nn.GELU(), nn.Linear(hidden, embed_dims)
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """One layer; ``mask`` (broadcast to ``(B, h, N, N)``) is true where allowed."""
        return self.feed(tokens + self.attention(self.attention_norm(tokens), mask))

    def feed(self, tokens: Tensor) -> Tensor:
        """The second half of the layer."""
        return tokens + self.mlp(self.mlp_norm(tokens))
