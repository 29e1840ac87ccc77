"""From dimensions to one score: instance weights, local scores, statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.layers.precision import exact
from iqaloss.scorers.layers.pyramid import FrozenStatistics, create_network, create_trunk, pool_to
from iqaloss.scorers.layers.transformer import SelfAttentionLayer, init_transformer, regressor, to_tokens
from iqaloss.scorers.mdiqa.config import BranchConfig


class MapWeights(FrozenStatistics, nn.Module):
    """Instance weights from a multi-level map: softmax of the spatial mean of per-position logits.

    Args:
        trunk: timm name of its own backbone; None when the maps of another backbone are handed in.
        channels: Channels of the maps that are handed in; unused with a backbone of its own.
        width: Channels to which each level of its own backbone is reduced.
        dimensions: Number of weights.
    """

    def __init__(self, trunk: str | None, channels: list[int], width: int, dimensions: int) -> None:
        super().__init__()
        self.trunk = None if trunk is None else create_trunk(trunk)
        if self.trunk is not None:
            channels = self.trunk.feature_info.channels()  # type: ignore[union-attr, operator]
            self.reduce = nn.ModuleList(nn.Sequential(nn.Conv2d(c, width, 1), nn.GELU()) for c in channels)
            channels = [width] * len(channels)
        total = sum(channels)
        self.logits = nn.Sequential(
            nn.LayerNorm(total), nn.Linear(total, total), nn.GELU(), nn.Linear(total, dimensions)
        )

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """Returns weights ``[B, D]`` that sum to one.

        Args:
            images: Normalised images, for a backbone of its own.
            maps: The shared maps, for none.
        """
        if self.trunk is not None:
            levels = [reduce(level) for level, reduce in zip(exact(self.trunk, images), self.reduce)]
            grid = tuple(levels[-2].shape[2:])
            maps = [pool_to(level, grid) for level in levels]
        positions = rearrange(torch.cat(maps, dim=1), "b c h w -> b h w c")
        return self.logits(positions).mean(dim=(1, 2)).softmax(dim=1)


class PooledWeights(FrozenStatistics, nn.Module):
    """Instance weights as the softmax of a whole classification network's logits."""

    def __init__(self, trunk: str, dimensions: int) -> None:
        super().__init__()
        self.trunk = create_network(trunk, num_classes=dimensions)

    def forward(self, images: Tensor, maps: list[Tensor]) -> Tensor:
        """Returns weights ``[B, D]`` that sum to one."""
        return exact(self.trunk, images).softmax(dim=1)


class LocalScore(nn.Module):
    """A second score of one dimension, read from its feature map and CLIP's tokens.

    ``Reg(pool(t + MLP([t; c])))`` with t the tokens of the feature map and c those of CLIP.

    Args:
        config: The branch of the dimension.
        semantic: Channels of the CLIP map; 0 for none.
    """

    def __init__(self, config: BranchConfig, semantic: int) -> None:
        super().__init__()
        hidden = config.width // 2
        self.mix = nn.Sequential(
            nn.Linear(config.width + semantic, hidden, bias=False),
            nn.GELU(),
            nn.Dropout(0.5),
            nn.Linear(hidden, config.width, bias=False),
        )
        self.pool = SelfAttentionLayer(config.width, config.heads, config.hidden)
        self.regress = regressor(config.width)
        for module in (self.pool, self.regress):
            init_transformer(module)

    def forward(self, features: Tensor, semantic: Tensor | None) -> Tensor:
        """Returns the local score ``[B]``."""
        tokens = mixed = to_tokens(features)
        if semantic is not None:
            resized = F.interpolate(semantic, features.shape[2:], mode="bicubic", align_corners=False)
            mixed = torch.cat([tokens, to_tokens(resized)], dim=2)
        return self.regress(self.pool(self.mix(mixed) + tokens).mean(dim=0)).squeeze(1)


class StatisticScores(nn.Module):
    """What the mean and standard deviation of colours and of every backbone channel tell about each dimension.

    Texture and noise show in second moments, which attention over averaged maps does not see. The statistics
    are standardised with stored constants before two small MLPs read them.

    Args:
        channels: Channels of the backbone's levels.
        hidden: Hidden width.
        dimensions: Number of scores.
        appearance: Whether colours are measured too (see :func:`appearance_maps`).
    """

    center: Tensor
    spread: Tensor

    def __init__(self, channels: list[int], hidden: int, dimensions: int, appearance: bool) -> None:
        super().__init__()
        self.appearance = appearance
        count = 2 * (sum(channels) + (len(APPEARANCE) if appearance else 0))
        self.register_buffer("center", torch.zeros(count))
        self.register_buffer("spread", torch.ones(count))
        self.dimension = self._reader(count, hidden, dimensions, dropout=0.2)
        self.local = self._reader(count, hidden, dimensions, dropout=0.5)  # human scores are easily learnt by heart

    @staticmethod
    def _reader(count: int, hidden: int, dimensions: int, dropout: float) -> nn.Sequential:
        last = nn.Linear(hidden, dimensions)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(count, hidden), nn.GELU(), nn.Dropout(dropout), last)

    def forward(
        self, images: Tensor, levels: list[Tensor], wanted: Sequence[int], local: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Returns what is added to the dimensions' scores ``[B, K]`` and to the local scores ``[B, D]``.

        Args:
            images: Float RGB in ``[0, 1]``.
            levels: The backbone's levels.
            wanted: Numbers of the K dimensions that are needed.
            local: Whether the second part is needed; it is None otherwise.
        """
        seen = [appearance_maps(images), *levels] if self.appearance else levels
        standard = ((level_statistics(seen) - self.center) / self.spread).to(self.center.dtype)
        return _read_rows(self.dimension, standard, wanted), self.local(standard) if local else None


def _read_rows(reader: nn.Sequential, standard: Tensor, wanted: Sequence[int]) -> Tensor:
    """Returns some of a reader's outputs ``[B, K]``; its last layer computes no others."""
    if not wanted:
        return standard.new_empty(len(standard), 0)
    last: Any = reader[-1]
    if list(wanted) == list(range(last.out_features)):
        return reader(standard)
    weight, bias = (torch.stack([values[row] for row in wanted]) for values in (last.weight, last.bias))
    return F.linear(reader[:-1](standard), weight, bias)


TONES = (0.08, 0.25, 0.42, 0.58, 0.75, 0.92)
APPEARANCE = (
    *("red", "green", "blue", "luma", "red - green", "yellow - blue", "chroma"),
    *(f"luma above {tone:.0%}" for tone in TONES),
)


def appearance_maps(images: Tensor) -> Tensor:
    """Returns what backbones learn to ignore, ``[B, 13, H / 2, W / 2]`` for images in ``[0, 1]``.

    RGB, luma, two opponent colours, chroma, and soft masks of what is brighter than six tones, whose means draw the
    tone curve from shadows to clipped highlights. All of the image at half its size: a quarter of the work, and the
    noise of single pixels does not pass for colour.
    """
    images = F.avg_pool2d(images, 2, ceil_mode=True)
    red, green, blue = images.unbind(dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    first, second = red - green, 0.5 * (red + green) - blue
    chroma = (first.square() + second.square() + 1e-3).sqrt()  # the constant bounds the slope at grey
    masks = [torch.sigmoid(20.0 * (luma - tone)) for tone in TONES]
    return torch.stack([red, green, blue, luma, first, second, chroma, *masks], dim=1)


def level_statistics(levels: list[Tensor]) -> Tensor:
    """Returns means and standard deviations of all channels, level by level, ``[B, 2 * sum(C)]``.

    The variance is written out: ``torch.var`` over two dimensions takes several times as long on a CPU.
    """
    moments = []
    for level in levels:
        level = level.float()
        mean = level.mean(dim=(2, 3), keepdim=True)
        variance = (level - mean).square().mean(dim=(2, 3))
        # The constant keeps the root's slope finite where a channel is flat.
        moments += [mean.flatten(1), (variance + 1e-4).sqrt()]
    return torch.cat(moments, dim=1)
