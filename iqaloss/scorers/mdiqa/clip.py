"""CLIP's tokens, which the local scores of fusions A and D see beside their feature maps."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss._errors import optional
from iqaloss.scorers.cards import CLIP_MEAN, CLIP_STD
from iqaloss.scorers.layers.square import center_square
from iqaloss.scorers.layers.transformer import to_tokens


class ClipTokens(nn.Module):
    """The 49 spatial tokens of CLIP's RN50, reduced to the heads' width; no gradient passes.

    CLIP sees the centre square of the image only, as published.

    Args:
        width: Channels of the returned map.
    """

    side = 224
    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        open_clip = optional("open_clip", "open_clip_torch", "clip", "MDIQA with CLIP tokens (fusion A and D)")
        self.visual = open_clip.create_model("RN50", pretrained=None).visual.requires_grad_(False)
        self.project = nn.Conv2d(self.visual.output_dim, width, 1)
        self.register_buffer("mean", torch.tensor(CLIP_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(CLIP_STD).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Any:
        """Sets training mode of the projection; CLIP itself always stays in eval mode."""
        super().train(mode)
        self.visual.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Returns the map ``[B, C, 7, 7]`` for images in ``[0, 1]``."""
        with torch.no_grad():
            crop = (center_square(images.detach(), self.side) - self.mean) / self.std
            tokens = attention_pool_tokens(self.visual, crop)
        return self.project(tokens)


def attention_pool_tokens(visual: Any, images: Tensor) -> Tensor:
    """Returns the spatial tokens of an open_clip ResNet's attention pool as a map ``[B, C, h, w]``.

    open_clip keeps the pooled token only; the arithmetic here is that of its pool, for all positions.
    """
    x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images)))))
    height, width = x.shape[2:]
    pool = visual.attnpool
    tokens = to_tokens(x)
    tokens = torch.cat([tokens.mean(dim=0, keepdim=True), tokens]) + pool.positional_embedding[:, None]
    query, key, value = (
        rearrange(layer(tokens), "n b (h d) -> b h n d", h=pool.num_heads)
        for layer in (pool.q_proj, pool.k_proj, pool.v_proj)
    )
    attended = F.scaled_dot_product_attention(query[:, :, 1:], key, value)
    projected = pool.c_proj(rearrange(attended, "b h n d -> b n (h d)"))
    return rearrange(projected, "b (h w) c -> b c h w", h=height, w=width)
