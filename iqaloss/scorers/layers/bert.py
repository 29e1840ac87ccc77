"""BERT's encoder with cross-attention in every layer: how BLIP reads a text while it looks at an image.

Papers: BERT, arXiv 1810.04805; BLIP, arXiv 2201.12086.
"""

from __future__ import annotations

from dataclasses import dataclass

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class TextConfig:
    """A text encoder that attends to image tokens.

    Attributes:
        width: Channels of the text tokens.
        depth: Number of layers.
        heads: Attention heads.
        hidden: Width inside the feed-forward layers.
        vocabulary: Number of token ids.
        positions: Longest text in tokens that the position table holds.
        dropout: Dropout rate, in training.
        pad: Id of the padding token.
        start: Id of the token before a text.
        end: Id of the token after a text.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    vocabulary: int = 30524
    positions: int = 512
    dropout: float = 0.1
    pad: int = 0
    start: int = 101
    end: int = 102

    def count_parameters(self, image_width: int) -> int:
        """Returns the number of parameters with cross-attention to tokens of ``image_width`` channels."""
        width = self.width
        attention = 2 * (width + 1) * width + 2 * width  # query, projection and norm
        keys = 2 * (width + 1) * width + 2 * (image_width + 1) * width
        feed = (width + 1) * self.hidden + (self.hidden + 1) * width + 2 * width
        embedding = (self.vocabulary + self.positions + 2) * width
        return self.depth * (2 * attention + keys + feed) + embedding


class PostNormAttention(nn.Module):
    """``LN(x + MHA(x, memory))``.

    Args:
        width: Channels of the queries and of the result.
        memory: Channels of what is attended to.
        heads: Attention heads.
        dropout: Dropout rate.
    """

    def __init__(self, width: int, memory: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory, width)
        self.value = nn.Linear(memory, width)
        self.project = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, memory: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns tokens of the queries' shape.

        Args:
            tokens: ``[B, L, C]``.
            memory: ``[B, M, D]``.
            mask: Which of the memory may be attended to, bool ``[B, 1, 1, M]``; all of it by default.
        """
        query, key, value = (
            rearrange(layer(source), "b n (h d) -> b h n d", h=self.heads)
            for layer, source in ((self.query, tokens), (self.key, memory), (self.value, memory))
        )
        dropout = self.dropout.p if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout)
        mixed = self.project(rearrange(attended, "b h n d -> b n (h d)"))
        return self.norm(tokens + self.dropout(mixed))


class TextLayer(nn.Module):
    """Self-attention over the text, cross-attention to the image, feed-forward; each with a norm after its sum.

    Args:
        config: The text encoder.
        image_width: Channels of the image tokens.
    """

    def __init__(self, config: TextConfig, image_width: int) -> None:
        super().__init__()
        self.self_attention = PostNormAttention(config.width, config.width, config.heads, config.dropout)
        self.cross_attention = PostNormAttention(config.width, image_width, config.heads, config.dropout)
        self.expand = nn.Linear(config.width, config.hidden)
        self.contract = nn.Linear(config.hidden, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, mask: Tensor, image_tokens: Tensor) -> Tensor:
        """Returns text tokens of the same shape."""
        tokens = self.self_attention(tokens, tokens, mask)
        tokens = self.cross_attention(tokens, image_tokens)
        return self.norm(tokens + self.dropout(self.contract(F.gelu(self.expand(tokens)))))


class ImageGroundedTextEncoder(nn.Module):
    """Text tokens that have looked at an image.

    Args:
        config: The architecture.
        image_width: Channels of the image tokens.

    Example:
        >>> import torch
        >>> encoder = ImageGroundedTextEncoder(TextConfig(8, 1, 2, 16, vocabulary=10, positions=4), image_width=6)
        >>> ids = torch.tensor([[1, 5, 2, 0]])
        >>> encoder(ids, ids != 0, torch.rand(1, 9, 6)).shape
        torch.Size([1, 4, 8])
    """

    def __init__(self, config: TextConfig, image_width: int) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(TextLayer(config, image_width) for _ in range(config.depth))
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, ids: Tensor, mask: Tensor, image_tokens: Tensor) -> Tensor:
        """Returns the last layer's tokens ``[B, L, C]``, those of the padding included.

        Args:
            ids: Token ids, long ``[B, L]``.
            mask: Which of them are text and not padding, bool ``[B, L]``; at least one in each row.
            image_tokens: ``[B, M, D]``.
        """
        tokens = self.words(ids) + self.positions.weight[: ids.shape[1]]
        tokens = self.dropout(self.norm(tokens))
        for layer in self.layers:
            tokens = layer(tokens, mask[:, None, None], image_tokens)
        return tokens
