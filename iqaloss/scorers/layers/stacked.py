"""Several modules of one shape and frozen weights, run as one: each product is batched over them.

Tokens are ``[N, B, T, C]`` here, N the modules. The factors and shifts of each layer norm are multiplied into the
linear layer behind it, which computes the same with fewer operations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.layers.transformer import FEW

Span = slice
"""Which of the N modules run: a view of their weights, not a copy."""


class StackedLinear(nn.Module):
    """N linear layers, each behind a layer norm or not.

    Args:
        weights: N matrices ``[outputs, inputs]``.
        biases: N vectors ``[outputs]``, or None.
        norms: The N layer norms before them, or None.
        scale: Factor of the outputs, ``[outputs]``, or None.
    """

    bias: nn.Parameter | None

    def __init__(
        self,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor] | None,
        norms: Sequence[nn.LayerNorm] | None = None,
        scale: Tensor | None = None,
    ) -> None:
        super().__init__()
        weight = torch.stack([value.detach() for value in weights]).double()
        bias = None if biases is None else torch.stack([value.detach() for value in biases]).double()
        self.eps = 0.0
        if norms is not None:
            self.eps = norms[0].eps
            shift = torch.stack([norm.bias.detach() for norm in norms]).double()
            shift = (weight @ shift[:, :, None]).squeeze(2)
            bias = shift if bias is None else bias + shift
            weight = weight * torch.stack([norm.weight.detach() for norm in norms]).double()[:, None]
        if scale is not None:
            weight = weight * scale[:, None]
            bias = None if bias is None else bias * scale
        dtype = weights[0].dtype
        self.weight = nn.Parameter(weight.transpose(1, 2).to(dtype).contiguous(), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias[:, None].to(dtype), requires_grad=False)

    @classmethod
    def join(cls, layers: Sequence[Any], norms: Sequence[Any] | None = None) -> StackedLinear:
        """Joins N linear layers, each behind a layer norm or not."""
        biases = None if layers[0].bias is None else [layer.bias for layer in layers]
        return cls([layer.weight for layer in layers], biases, norms)

    def forward(self, x: Tensor, span: Span) -> Tensor:
        """Returns ``[n, ..., outputs]`` for ``[n, ..., inputs]``; a layer norm comes first where there is one."""
        if self.eps:
            x = F.layer_norm(x, x.shape[-1:], eps=self.eps)
        flat = x.flatten(1, -2)
        if self.bias is None:
            out = torch.bmm(flat, self.weight[span])
        else:
            out = torch.baddbmm(self.bias[span], flat, self.weight[span])
        return out.unflatten(1, x.shape[1:-1])


def _mix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention of ``[M, H, T, d]``, without a scale; returns ``[M, T, H * d]``."""
    if key.shape[2] <= FEW:
        mixed = (query @ key.transpose(2, 3)).softmax(dim=-1) @ value
    else:
        mixed = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    return rearrange(mixed, "m h t d -> m t (h d)")


class StackedAttention(nn.Module):
    """N attention layers with the layer norms of their queries and of what they look at.

    Args:
        layers: N modules with an ``attention``.
        query_norm: Name of the queries' norm in each of them.
        memory_norm: Name of the norm of what they look at; None for self-attention.
    """

    def __init__(self, layers: Sequence[Any], query_norm: str, memory_norm: str | None) -> None:
        super().__init__()
        attention = [layer.attention for layer in layers]
        norms = [getattr(layer, query_norm) for layer in layers]
        width, self.heads = attention[0].embed_dim, attention[0].num_heads
        scale = torch.ones(3 * width, dtype=torch.float64, device=attention[0].in_proj_weight.device)
        scale[:width] = (width // self.heads) ** -0.5
        both = [each.in_proj_weight for each in attention], [each.in_proj_bias for each in attention]
        self.memory: nn.Module | None = None
        if memory_norm is None:
            self.project: nn.Module = StackedLinear(*both, norms, scale)
        else:
            weights, biases = both
            queries = [value[:width] for value in weights], [value[:width] for value in biases]
            memories = [value[width:] for value in weights], [value[width:] for value in biases]
            self.project = StackedLinear(*queries, norms, scale[:width])
            self.memory = StackedLinear(*memories, [getattr(layer, memory_norm) for layer in layers])
        self.out = StackedLinear.join([each.out_proj for each in attention])

    def forward(self, tokens: Tensor, memory: Tensor | None, span: Span) -> Tensor:
        """Returns tokens of the queries' shape ``[n, B, T, C]``."""
        query: Tensor
        if self.memory is None:
            query, key, value = self._by_head(self.project(tokens, span), 3)
        else:
            (query,) = self._by_head(self.project(tokens, span), 1)
            key, value = self._by_head(self.memory(memory, span), 2)
        return self.out(_mix(query, key, value).unflatten(0, tokens.shape[:2]), span)

    def _by_head(self, projected: Tensor, count: int) -> tuple[Tensor, ...]:
        """Turns ``[n, B, T, count * C]`` into as many of ``[n * B, H, T, d]``, one copy for all."""
        apart = rearrange(projected, "n b t (p h d) -> p (n b) h t d", p=count, h=self.heads)
        return apart.contiguous().unbind(0)


class StackedFeed(nn.Module):
    """N feed-forward layers with their norms."""

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__()
        self.expand = StackedLinear.join([layer.feed.expand for layer in layers], [layer.norm_feed for layer in layers])
        self.contract = StackedLinear.join([layer.feed.contract for layer in layers])

    def forward(self, tokens: Tensor, span: Span) -> Tensor:
        """Returns tokens of the same shape."""
        return self.contract(F.gelu(self.expand(tokens, span)), span)


class StackedSelfAttentionLayer(nn.Module):
    """N of :class:`~iqaloss.scorers.layers.transformer.SelfAttentionLayer`."""

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__()
        self.attention = StackedAttention(layers, "norm_attention", None)
        self.feed = StackedFeed(layers)

    def forward(self, tokens: Tensor, span: Span) -> Tensor:
        """Returns tokens of the same shape ``[n, B, T, C]``."""
        tokens = tokens + self.attention(tokens, None, span)
        return tokens + self.feed(tokens, span)


class StackedCrossAttentionLayer(nn.Module):
    """N of :class:`~iqaloss.scorers.layers.transformer.CrossAttentionLayer`."""

    def __init__(self, layers: Sequence[Any]) -> None:
        super().__init__()
        self.attention = StackedAttention(layers, "norm_query", "norm_memory")
        self.feed = StackedFeed(layers)

    def forward(self, tokens: Tensor, memory: Tensor, span: Span) -> Tensor:
        """Returns tokens of the query's shape ``[n, B, T, C]``."""
        tokens = tokens + self.attention(tokens, memory, span)
        return tokens + self.feed(tokens, span)


class StackedRegressor(nn.Module):
    """N of what :func:`~iqaloss.scorers.layers.transformer.regressor` returns."""

    def __init__(self, heads: Sequence[Any]) -> None:
        super().__init__()
        self.first = StackedLinear.join([head[1] for head in heads], [head[0] for head in heads])
        self.second = StackedLinear.join([head[4] for head in heads], [head[3] for head in heads])
        self.last = StackedLinear.join([head[6] for head in heads])

    def forward(self, vectors: Tensor, span: Span) -> Tensor:
        """Returns scores ``[n, B]`` for vectors ``[n, B, C]``."""
        hidden = F.gelu(self.second(F.gelu(self.first(vectors, span)), span))
        return self.last(hidden, span).squeeze(2)
