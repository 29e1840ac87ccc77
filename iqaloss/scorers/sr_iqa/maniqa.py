"""The token part of MANIQA (Yang et al., CVPR Workshops 2022), which the released rectifier reads.

A window becomes tokens: the last four blocks of a ViT, then two stages, each of two attentions over channels, a
1x1 convolution that reduces the channels, and two Swin layers. MANIQA's scoring heads are not part of it.
Inside the stages the names of the weights are those of its checkpoint.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.layers.frozen_cache import FrozenCache
from iqaloss.scorers.sr_iqa.config import ManiqaConfig

_RESIDUAL = 0.13
"""Factor of each Swin layer beside the identity, as published."""


class ChannelAttention(nn.Module):
    """Attention of channels to each other, over their values at all positions; MANIQA's transposed attention.

    Args:
        positions: Number of positions.
    """

    def __init__(self, positions: int) -> None:
        super().__init__()
        self.c_q = nn.Linear(positions, positions)
        self.c_k = nn.Linear(positions, positions)
        self.c_v = nn.Linear(positions, positions)

    def forward(self, channels: Tensor) -> Tensor:
        """Returns channels of the same shape ``[B, C, N]``."""
        query, key, value = (layer(channels)[:, None] for layer in (self.c_q, self.c_k, self.c_v))
        attended = F.scaled_dot_product_attention(query, key, value)[:, 0]
        # The published network reads the transposed result in memory order; its weights expect that.
        return channels + attended.transpose(1, 2).reshape(channels.shape)


class WindowAttention(nn.Module):
    """Multi-head attention inside a square window, with a learned bias for each relative position."""

    index: Tensor

    def __init__(self, width: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        table = nn.init.trunc_normal_(torch.empty((2 * side - 1) ** 2, heads), std=0.02)
        self.relative_position_bias_table = nn.Parameter(table)
        place = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
        away = place[:, :, None] - place[:, None, :] + side - 1
        self.register_buffer("index", away[0] * (2 * side - 1) + away[1], persistent=False)
        self.cache = FrozenCache(1)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Returns tokens of the same shape ``[B * W, T, C]``; ``mask`` ``[W, T, T]`` is added to the logits."""
        query, key, value = rearrange(self.qkv(tokens), "b t (p h d) -> p b h t d", p=3, h=self.heads)
        table = self.relative_position_bias_table
        # The block that this belongs to has one mask.
        bias = self.cache(None, [table], lambda: table[self.index].permute(2, 0, 1) + mask[:, None])
        bias = bias.repeat(len(tokens) // len(mask), 1, 1, 1).to(query.dtype)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        return self.proj(rearrange(attended, "b h t d -> b t (h d)"))


class SwinBlock(nn.Module):
    """Attention inside windows, shifted or not, and a feed-forward layer, over a map ``[B, H, W, C]``."""

    mask: Tensor

    def __init__(self, width: int, config: ManiqaConfig, grid: int, shift: int) -> None:
        super().__init__()
        self.side, self.shift = config.window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, config.swin_heads, config.window)
        self.norm2 = nn.LayerNorm(width)
        feed = {
            "fc1": nn.Linear(width, config.swin_hidden),
            "act": nn.GELU(),
            "fc2": nn.Linear(config.swin_hidden, width),
        }
        self.mlp = nn.Sequential(OrderedDict(feed))
        self.register_buffer("mask", shift_mask(grid, config.window, shift), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Returns a map of the same shape."""
        windows = to_windows(self.norm1(x).roll((-self.shift, -self.shift), (1, 2)), self.side)
        attended = from_windows(self.attn(windows, self.mask), self.side, x.shape[1], x.shape[2])
        x = x + attended.roll((self.shift, self.shift), (1, 2))
        return x + self.mlp(self.norm2(x))


def to_windows(x: Tensor, side: int) -> Tensor:
    """Turns ``[B, H, W, C]`` into windows ``[B * H/side * W/side, side * side, C]``."""
    return rearrange(x, "b (y i) (x j) c -> (b y x) (i j) c", i=side, j=side)


def from_windows(windows: Tensor, side: int, height: int, width: int) -> Tensor:
    """Undoes :func:`to_windows`."""
    rows, columns = height // side, width // side
    return rearrange(windows, "(b y x) (i j) c -> b (y i) (x j) c", y=rows, x=columns, i=side)


def shift_mask(grid: int, side: int, shift: int) -> Tensor:
    """Returns what keeps tokens apart that only the cyclic shift brought together, ``[W, T, T]``: 0 or -100."""
    line = torch.zeros(grid)
    if shift:
        line[grid - side : grid - shift] = 1
        line[grid - shift :] = 2
    region = to_windows((3 * line[:, None] + line)[None, :, :, None], side)[:, :, 0]
    return -100.0 * (region[:, :, None] != region[:, None, :])


class SwinLayer(nn.Module):
    """A plain and a shifted Swin block, a 3x3 convolution and a ReLU, added to the input with a small factor."""

    def __init__(self, width: int, config: ManiqaConfig, grid: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(SwinBlock(width, config, grid, shift) for shift in (0, config.window // 2))
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns a map of the same shape ``[B, C, H, W]``."""
        inside = rearrange(x, "b c y x -> b y x c")
        for block in self.blocks:
            inside = block(inside)
        return x + _RESIDUAL * torch.relu(self.conv(rearrange(inside, "b y x c -> b c y x")))


class Stage(nn.Module):
    """Two attentions over channels, a reduction of the channels, two Swin layers."""

    def __init__(self, channels: int, width: int, config: ManiqaConfig, grid: int) -> None:
        super().__init__()
        self.channels = nn.Sequential(ChannelAttention(grid * grid), ChannelAttention(grid * grid))
        self.reduce = nn.Conv2d(channels, width, 1)
        self.swin = nn.Sequential(SwinLayer(width, config, grid), SwinLayer(width, config, grid))

    def forward(self, x: Tensor) -> Tensor:
        """Returns ``[B, width, H, W]`` for a map ``[B, channels, H, W]``."""
        attended = self.channels(x.flatten(2)).unflatten(2, x.shape[2:])
        return self.swin(self.reduce(attended))


class ManiqaTokens(nn.Module):
    """MANIQA's tokens of windows in ``[0, 1]``; always in eval mode, for it is never trained here.

    Args:
        config: The architecture.
        side: Side of the windows.
    """

    def __init__(self, config: ManiqaConfig, side: int) -> None:
        super().__init__()
        from timm.models.vision_transformer import VisionTransformer

        self.vit = VisionTransformer(
            img_size=side,
            patch_size=config.patch,
            embed_dim=config.width,
            depth=config.blocks,
            num_heads=config.heads,
            num_classes=0,
        )
        grid = side // config.patch
        self.taps = list(range(config.blocks - 4, config.blocks))
        self.first = Stage(4 * config.width, config.width, config, grid)
        self.second = Stage(config.width, config.width // 2, config, grid)
        self.eval()

    def train(self, mode: bool = True) -> Any:
        """Leaves it in eval mode."""
        return super().train(False)

    def forward(self, windows: Tensor) -> Tensor:
        """Returns tokens ``[N, T, C]`` for windows ``[N, 3, side, side]``."""
        levels: Any = self.vit.forward_intermediates((windows - 0.5) / 0.5, indices=self.taps, intermediates_only=True)
        return rearrange(self.second(self.first(torch.cat(levels, dim=1))), "n c y x -> n (y x) c")
