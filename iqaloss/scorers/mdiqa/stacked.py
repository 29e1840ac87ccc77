"""MDIQA's heads joined: the same weights, one batched product in place of one for each dimension."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from typing import Any

import torch
from einops import rearrange, repeat
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.layers.frozen_cache import FrozenCache
from iqaloss.scorers.layers.stacked import (
    StackedCrossAttentionLayer,
    StackedLinear,
    StackedRegressor,
    StackedSelfAttentionLayer,
)
from iqaloss.scorers.layers.transformer import grid_positions


class StackedPositions(nn.Module):
    """N position tables, resized together."""

    def __init__(self, tables: list[Any]) -> None:
        super().__init__()
        self.rows, self.columns = (
            nn.Parameter(torch.cat([getattr(table, name).detach() for table in tables]), requires_grad=False)
            for name in ("rows", "columns")
        )
        self.cache = FrozenCache()

    def forward(self, height: int, width: int) -> Tensor:
        """Returns the embeddings of a grid, ``[N, 1, height * width, C]``."""
        return self.cache((height, width), (self.rows, self.columns), lambda: self._resize(height, width))

    def _resize(self, height: int, width: int) -> Tensor:
        tables = grid_positions(self.rows, self.columns, height=height, width=width)
        return rearrange(tables, "n c h w -> n 1 (h w) c").contiguous()


class StackedHeads(nn.Module):
    """The heads of a branch, joined.

    Args:
        heads: Dimension name to :class:`~iqaloss.scorers.mdiqa.heads.DimensionHead`, all of one shape.
    """

    def __init__(self, heads: nn.ModuleDict) -> None:
        super().__init__()
        self.names = tuple(heads)
        each: list[Any] = list(heads.values())
        self.position = StackedPositions([head.position for head in each])
        self.self_attention = nn.ModuleList(
            StackedSelfAttentionLayer(layers) for layers in zip(*(head.self_attention for head in each))
        )
        self.cross_attention = nn.ModuleList(
            StackedCrossAttentionLayer(layers) for layers in zip(*(head.cross_attention for head in each))
        )
        self.pool = StackedSelfAttentionLayer([head.pool for head in each])
        self.regress = StackedRegressor([head.regress for head in each])

    def forward(
        self, maps: list[Tensor], scored: Collection[str], mapped: Collection[str]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Returns feature maps ``[B, C, h, w]`` and scores ``[B]`` by dimension, of those that are needed.

        Args:
            maps: The pyramid, finest level first, all on one grid.
            scored: Dimensions whose score is needed.
            mapped: Dimensions whose feature map is needed.
        """
        features: dict[str, Tensor] = {}
        scores: dict[str, Tensor] = {}
        for span, read in self._runs(scored, mapped):
            names = self.names[span]
            tokens = self._features(maps, span)
            height, width = maps[-1].shape[2:]
            by_name = rearrange(tokens, "n b (h w) c -> n b c h w", h=height, w=width)
            features.update(zip(names, by_name.unbind(0)))
            if read:
                pooled = self.pool(tokens, span).mean(dim=2)
                scores.update(zip(names, self.regress(pooled, span).unbind(0)))
        return features, scores

    def _runs(self, scored: Collection[str], mapped: Collection[str]) -> Iterator[tuple[slice, bool]]:
        """Yields the runs of neighbouring heads that are needed, and whether their scores are."""
        todo = [(name in scored or name in mapped, name in scored) for name in self.names]
        for (needed, read), run in itertools.groupby(range(len(todo)), key=todo.__getitem__):
            if needed:
                indices = list(run)
                yield slice(indices[0], indices[-1] + 1), read

    def _features(self, maps: list[Tensor], span: slice) -> Tensor:
        position = self.position(*maps[-1].shape[2:])[span]
        tokens = [
            attend(rearrange(level, "b c h w -> b (h w) c") + position, span)
            for level, attend in zip(maps, self.self_attention)
        ]
        query = tokens[-1]
        for memory, attend in zip(reversed(tokens[:-1]), self.cross_attention):
            query = attend(query, memory, span)
        return query


class StackedLocalScores(nn.Module):
    """The local scores of several dimensions, joined.

    Args:
        modules: Dimension name to :class:`~iqaloss.scorers.mdiqa.fusion.LocalScore`, all of one shape.
    """

    def __init__(self, modules: dict[str, Any]) -> None:
        super().__init__()
        self.names = tuple(modules)
        each = list(modules.values())
        self.narrow = StackedLinear.join([module.mix[0] for module in each])
        self.widen = StackedLinear.join([module.mix[3] for module in each])
        self.pool = StackedSelfAttentionLayer([module.pool for module in each])
        self.regress = StackedRegressor([module.regress for module in each])

    def forward(self, features: dict[str, Tensor], semantic: Tensor | None) -> Tensor:
        """Returns local scores ``[n, B]``.

        Args:
            features: Dimension name to feature map ``[B, C, h, w]``.
            semantic: CLIP's map, or None.
        """
        maps = torch.stack([features[name] for name in self.names])
        tokens = mixed = rearrange(maps, "n b c h w -> n b (h w) c")
        if semantic is not None:
            resized = F.interpolate(semantic, maps.shape[3:], mode="bicubic", align_corners=False)
            seen = repeat(resized, "b c h w -> n b (h w) c", n=len(maps))
            mixed = torch.cat([tokens, seen], dim=3)
        whole = slice(None)
        tokens = self.widen(F.gelu(self.narrow(mixed, whole)), whole) + tokens
        return self.regress(self.pool(tokens, whole).mean(dim=2), whole)
