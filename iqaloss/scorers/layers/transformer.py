"""Pre-norm transformer layers over token sequences ``[N, B, C]``."""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.layers.frozen_cache import FrozenCache


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns tokens of the same shape."""
        return self.contract(self.dropout(F.gelu(self.expand(tokens))))


FEW = 256
"""Up to this many keys the attention matrix is kept for the backward pass; beyond, it is computed again."""


def attend(layer: nn.MultiheadAttention, query: Tensor, memory: Tensor) -> Tensor:
    """Applies an attention layer with plain matrix products where the matrix is small.

    A fused kernel computes the attention matrix a second time on the way back, which costs more than it saves
    for the few tokens of a training crop.

    Args:
        layer: Holds the projections; sequence first.
        query: ``[N, B, C]``.
        memory: ``[M, B, C]``, the keys and values; the query itself for self-attention.

    Returns:
        ``[N, B, C]``.
    """
    width, heads = layer.embed_dim, layer.num_heads
    weight, bias = layer.in_proj_weight, layer.in_proj_bias
    if memory is query:
        q, k, v = F.linear(query, weight, bias).chunk(3, dim=-1)
    else:
        q = F.linear(query, weight[:width], bias[:width])
        k, v = F.linear(memory, weight[width:], bias[width:]).chunk(2, dim=-1)
    q, k, v = (rearrange(x, "n b (h d) -> b h n d", h=heads) for x in (q, k, v))
    dropout = layer.dropout if layer.training else 0.0
    if memory.shape[0] <= FEW:
        matrix = (q * (width // heads) ** -0.5 @ k.transpose(2, 3)).softmax(dim=-1)
        mixed = F.dropout(matrix, dropout, training=layer.training) @ v
    else:
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout)
    return layer.out_proj(rearrange(mixed, "b h n d -> n b (h d)"))


class SelfAttentionLayer(nn.Module):
    """``x += MHA(LN(x)); x += FFN(LN(x))``."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = FeedForward(width, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns tokens of the same shape."""
        normed = self.norm_attention(tokens)
        tokens = tokens + self.dropout(attend(self.attention, normed, normed))
        return tokens + self.dropout(self.feed(self.norm_feed(tokens)))


class CrossAttentionLayer(nn.Module):
    """``x += MHA(LN(x), LN(memory)); x += FFN(LN(x))``."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.norm_query = nn.LayerNorm(width)
        self.norm_memory = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = FeedForward(width, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, memory: Tensor) -> Tensor:
        """Returns tokens of the query's shape."""
        attended = attend(self.attention, self.norm_query(tokens), self.norm_memory(memory))
        tokens = tokens + self.dropout(attended)
        return tokens + self.dropout(self.feed(self.norm_feed(tokens)))


class PositionTable(nn.Module):
    """A learned position embedding, separable in rows and columns, resized to any grid.

    Args:
        width: Number of channels; the first half depends on the row, the second on the column.
        side: Side of the learned table.
    """

    def __init__(self, width: int, side: int = 32) -> None:
        super().__init__()
        self.rows = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, width // 2, side, 1), std=0.02))
        self.columns = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, width // 2, 1, side), std=0.02))
        self.cache = FrozenCache()

    def forward(self, height: int, width: int) -> Tensor:
        """Returns the embedding of a grid, ``[height * width, 1, C]``; a frozen table computes it once for a size."""
        sources = (self.rows, self.columns)
        return self.cache(
            (height, width), sources, lambda: to_tokens(grid_positions(*sources, height=height, width=width))
        )


def grid_positions(rows: Tensor, columns: Tensor, *, height: int, width: int) -> Tensor:
    """Resizes separable tables ``[N, C/2, side, 1]`` and ``[N, C/2, 1, side]`` to a grid, ``[N, C, height, width]``."""
    side = rows.shape[2]
    table = torch.cat([rows.expand(-1, -1, -1, side), columns.expand(-1, -1, side, -1)], dim=1)
    return F.interpolate(table, (height, width), mode="bicubic", align_corners=False)


def to_tokens(feature_map: Tensor) -> Tensor:
    """Turns ``[B, C, h, w]`` into ``[h * w, B, C]``."""
    return rearrange(feature_map, "b c h w -> (h w) b c")


def to_map(tokens: Tensor, height: int, width: int) -> Tensor:
    """Turns ``[h * w, B, C]`` into ``[B, C, h, w]``."""
    return rearrange(tokens, "(h w) b c -> b c h w", h=height, w=width)


def regressor(width: int) -> nn.Sequential:
    """Returns the score head over a vector ``[B, C]``: two normalised GELU layers and a linear one."""
    return nn.Sequential(
        nn.LayerNorm(width),
        nn.Linear(width, width),
        nn.GELU(),
        nn.LayerNorm(width),
        nn.Linear(width, width),
        nn.GELU(),
        nn.Linear(width, 1),
    )


def init_transformer(module: nn.Module) -> None:
    """Gives every linear layer of a transformer block Kaiming-normal weights and zero biases."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
