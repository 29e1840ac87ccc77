"""A branch of MDIQA: one shared backbone, one cross-scale attention head for each dimension."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from torch import Tensor, nn

from iqaloss.scorers.layers.precision import exact
from iqaloss.scorers.layers.pyramid import GatedPyramid
from iqaloss.scorers.layers.transformer import (
    CrossAttentionLayer,
    PositionTable,
    SelfAttentionLayer,
    init_transformer,
    regressor,
    to_map,
    to_tokens,
)
from iqaloss.scorers.mdiqa.config import BranchConfig
from iqaloss.scorers.mdiqa.stacked import StackedHeads


class DimensionHead(nn.Module):
    """Reads one dimension off the pyramid.

    The tokens of every level attend to themselves; the coarsest level then queries the finer ones, one
    after the other. The result is the dimension's feature map (the paper's g_D); pooled by a last
    attention layer and averaged it gives the dimension's score.

    Args:
        config: The branch that the head belongs to.
        levels: Number of pyramid levels.
    """

    def __init__(self, config: BranchConfig, levels: int) -> None:
        super().__init__()
        sizes = (config.width, config.heads, config.hidden)
        self.position = PositionTable(config.width, config.position_side)
        self.self_attention = nn.ModuleList(SelfAttentionLayer(*sizes) for _ in range(levels))
        self.cross_attention = nn.ModuleList(CrossAttentionLayer(*sizes) for _ in range(levels - 1))
        self.pool = SelfAttentionLayer(*sizes)
        self.regress = regressor(config.width)
        for module in (self.self_attention, self.cross_attention, self.pool):
            init_transformer(module)

    def features(self, maps: list[Tensor]) -> Tensor:
        """Returns the dimension's feature map ``[B, C, h, w]`` from the pyramid, finest level first."""
        height, width = maps[-1].shape[2:]
        position = self.position(height, width)
        tokens = [attend(to_tokens(level) + position) for level, attend in zip(maps, self.self_attention)]
        query = tokens[-1]
        for memory, attend in zip(reversed(tokens[:-1]), self.cross_attention):
            query = attend(query, memory)
        return to_map(query, height, width)

    def score(self, features: Tensor) -> Tensor:
        """Returns the dimension's score ``[B]`` from its feature map."""
        return self.regress(self.pool(to_tokens(features)).mean(dim=0)).squeeze(1)


@dataclass
class BranchOutput:
    """Scores ``[B]`` and feature maps ``[B, C, h, w]`` by dimension name, the shared pyramid, and its raw levels."""

    scores: dict[str, Tensor] = field(default_factory=dict)
    features: dict[str, Tensor] = field(default_factory=dict)
    maps: list[Tensor] = field(default_factory=list)
    levels: list[Tensor] = field(default_factory=list)


class Branch(nn.Module):
    """A backbone and the heads that share it."""

    def __init__(self, config: BranchConfig) -> None:
        super().__init__()
        self.backbone = GatedPyramid(config.trunk, config.width, config.gate_width, config.patches)
        levels = len(self.backbone.gates)
        self.heads: nn.ModuleDict | StackedHeads = nn.ModuleDict(
            {name: DimensionHead(config, levels) for name in config.dimensions}
        )

    def join_heads(self) -> None:
        """Puts one module in place of the heads that computes the same."""
        if isinstance(self.heads, nn.ModuleDict):
            self.heads = StackedHeads(self.heads)

    def forward(self, images: Tensor, scored: Collection[str], mapped: Collection[str]) -> BranchOutput:
        """Runs the backbone and the heads that are needed.

        Args:
            images: Normalised images.
            scored: Dimensions whose score is needed.
            mapped: Dimensions whose feature map is needed.
        """
        levels = exact(self.backbone.trunk, images)
        if not scored and not mapped:
            return BranchOutput(levels=levels)
        out = BranchOutput(maps=self.backbone.gather(levels), levels=levels)
        if isinstance(self.heads, StackedHeads):
            out.features, out.scores = self.heads(out.maps, scored, mapped)
            return out
        for name, head in self.heads.items():
            if name not in scored and name not in mapped:
                continue
            out.features[name] = head.features(out.maps)  # type: ignore[operator]
            if name in scored:
                out.scores[name] = head.score(out.features[name])  # type: ignore[operator]
        return out
