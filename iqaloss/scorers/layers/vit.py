"""Plain vision transformers, built of timm's parts, as data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class VitConfig:
    """A vision transformer with a class token and learned positions.

    Attributes:
        width: Channels of the tokens.
        depth: Number of blocks.
        heads: Attention heads.
        patch: Side of a patch in pixels.
        side: Side of the input in pixels.
        drop_path: Rate of stochastic depth at the last block, in training.
    """

    width: int = 768
    depth: int = 12
    heads: int = 12
    patch: int = 16
    side: int = 224
    drop_path: float = 0.0

    @property
    def grid(self) -> int:
        """Patches along a side."""
        return self.side // self.patch

    def count_parameters(self, *, depth: int | None = None, norm: bool = True) -> int:
        """Returns the number of parameters without a classifier.

        Args:
            depth: Number of blocks, when not all of them are built.
            norm: Whether the norm after the last block is there.
        """
        width = self.width
        block = 12 * width**2 + 13 * width
        stem = (3 * self.patch**2 + 1) * width
        tokens = (self.grid**2 + 2) * width  # the positions and the class token
        return (self.depth if depth is None else depth) * block + stem + tokens + (2 * width if norm else 0)


def create_vit(config: VitConfig, *, depth: int | None = None, norm: bool = True) -> Any:
    """Builds timm's vision transformer with random weights and no classifier; nothing is downloaded.

    Args:
        config: The architecture.
        depth: Number of blocks to build, when the last ones are not needed.
        norm: Whether to build the norm after the last block.

    Returns:
        A ``timm.models.vision_transformer.VisionTransformer``.
    """
    from timm.models.vision_transformer import VisionTransformer

    vit = VisionTransformer(
        img_size=config.side,
        patch_size=config.patch,
        embed_dim=config.width,
        depth=config.depth if depth is None else depth,
        num_heads=config.heads,
        num_classes=0,
        global_pool="",
        drop_path_rate=config.drop_path,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )
    if not norm:
        vit.norm = nn.Identity()
    return vit


def class_token(vit: Any, images: Tensor) -> Tensor:
    """Returns the normed class token ``[B, D]`` that :func:`create_vit`'s transformer gives for images.

    The last block's other tokens reach nothing, so only their keys and values are computed.

    Args:
        vit: What :func:`create_vit` returned.
        images: ``[B, 3, S, S]``.
    """
    tokens = vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images))))
    tokens = vit.blocks[:-1](tokens)
    last = vit.blocks[-1]
    attention, normed = last.attn, last.norm1(tokens)
    weight, bias = attention.qkv.weight, attention.qkv.bias
    width = weight.shape[0] // 3  # timm 1.0.3 has no attn_dim
    query = F.linear(normed[:, :1], weight[:width], bias[:width])
    key, value = F.linear(normed, weight[width:], bias[width:]).chunk(2, dim=2)
    query, key, value = (rearrange(x, "b n (h d) -> b h n d", h=attention.num_heads) for x in (query, key, value))
    dropout = attention.attn_drop.p if attention.training else 0.0
    attended = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
    attended = rearrange(attended, "b h n d -> b n (h d)")
    first = tokens[:, :1] + last.drop_path1(last.ls1(attention.proj_drop(attention.proj(attended))))
    first = first + last.drop_path2(last.ls2(last.mlp(last.norm2(first))))
    return vit.norm(first)[:, 0]
