"""The MDIQA scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.mdiqa.clip import ClipTokens
from iqaloss.scorers.mdiqa.config import MDIQAConfig
from iqaloss.scorers.mdiqa.fusion import LocalScore, MapWeights, PooledWeights, StatisticScores
from iqaloss.scorers.mdiqa.heads import Branch, BranchOutput
from iqaloss.scorers.mdiqa.levels import LevelDistances, directions
from iqaloss.scorers.mdiqa.stacked import StackedLocalScores


class MDIQA(Scorer):
    """Nine (or, in small configurations, five) perceptual dimensions and their fusion.

    ``score = MLP(softmax(W(x)) * r * (s + Reg(g + MLP([g; clip]))))`` with s the dimensions' scores, g
    their feature maps, W the weight branch and r an optional ratio for each dimension (arXiv 2508.16887).
    Without local scores the regressor term is left out.

    The extra outputs are ``weights`` ``[B, D]``, the instance weights times r, and ``local_scores``
    ``[B, D]``, what the local regressors add to the dimensions' scores.

    Args:
        card: What is known of the model.
        config: The architecture.
    """

    config_class = MDIQAConfig
    config: MDIQAConfig

    def __init__(self, card: ScorerCard, config: MDIQAConfig) -> None:
        super().__init__(card, config)
        fusion, first = config.fusion, config.branches[0]
        count = len(config.dimensions)
        self.branches = nn.ModuleDict({branch.name: Branch(branch) for branch in config.branches})
        if fusion.pooled_logits:
            if fusion.weight_trunk is None:
                raise ValueError("a weight branch with pooled logits needs a backbone: weight_trunk is None")
            self.weighting: nn.Module = PooledWeights(fusion.weight_trunk, count)
        else:
            shared = [first.width] * len(self.branches[first.name].backbone.gates)  # type: ignore[arg-type, union-attr]
            self.weighting = MapWeights(fusion.weight_trunk, shared, fusion.weight_width, count)
        self.clip = ClipTokens(first.width) if fusion.clip else None
        self.local = (
            nn.ModuleDict(
                {
                    name: LocalScore(branch, branch.width if fusion.clip else 0)
                    for branch in config.branches
                    for name in branch.dimensions
                }
            )
            if fusion.local
            else None
        )
        self.joined_local: nn.ModuleList | None = None
        self.statistics = (
            StatisticScores(
                self.branches[first.name].backbone.trunk.feature_info.channels(),  # type: ignore[union-attr, operator]
                fusion.statistics,
                count,
                fusion.appearance,
            )
            if fusion.statistics
            else None
        )
        info: Any = self.branches[first.name].backbone.trunk.feature_info  # type: ignore[union-attr]
        self.level_names = tuple(f"stride {stride}" for stride in info.reduction()) if config.compare_levels else ()
        self.comparison = LevelDistances(info.channels(), count) if config.compare_levels else None
        self.fuse = nn.Sequential(
            nn.Linear(count, 4 * count),
            nn.GELU(),
            nn.Linear(4 * count, 4 * count),
            nn.GELU(),
            nn.Linear(4 * count, 1),
        )
        for parameter in self.fuse.parameters():  # a positive start: more of any dimension is better
            nn.init.normal_(parameter, std=0.1).data.abs_()

    @property
    def dimension_names(self) -> tuple[str, ...]:
        """Names of the dimensions, in the model's own order."""
        return self.config.dimensions

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One feature map for each dimension, or the levels of the first backbone where those are compared."""
        return self.config.dimensions if self.comparison is None else self.level_names

    @property
    def distance_names(self) -> tuple[str, ...]:
        """One distance for each dimension."""
        return self.config.dimensions

    def compared(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The dimensions' maps, or all levels."""
        return names if self.comparison is None else self.level_names

    def distances(
        self, features: Mapping[str, Tensor], target: Mapping[str, Tensor], names: Sequence[str]
    ) -> dict[str, Tensor]:
        """Returns distances ``[B]`` by dimension."""
        if self.comparison is None:
            return super().distances(features, target, names)
        found = self.comparison({name: features[name] for name in self.level_names}, target)
        return {name: found[:, self.config.dimensions.index(name)] for name in names}

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The instance weights and, with a local module, the local scores."""
        return ("weights", "local_scores") if self.config.fusion.local else ("weights",)

    def compute(
        self, images: Tensor, request: Request, *, ratio: Tensor | None = None, fixed_weights: bool = False, **_: Any
    ) -> ScoreOutput:
        """Runs what the request needs and nothing else.

        Args:
            images: Float RGB in ``[0, 1]``, ``[B, 3, H, W]``.
            request: What to compute.
            ratio: A factor ``[D]`` or ``[B, D]`` for the instance weights; they are not renormalised.
            fixed_weights: Whether the instance weights are computed without a graph; ignored where the score needs one.
        """
        everything = self.config.dimensions
        extras = request.extras or ()
        local = self.config.fusion.local and (request.score or "local_scores" in extras)
        scored = everything if request.score else request.dimensions or ()
        leveled = self.comparison is not None and bool(request.features)
        mapped = everything if local else () if leveled else request.features or ()
        weighted = request.score or "weights" in extras

        normalized = self.normalize(images)
        found = self._run_branches(normalized, scored, mapped, weighted, leveled)
        added = None
        if self.statistics is not None and (scored or local):
            wanted = [everything.index(name) for name in scored]
            of_dimensions, added = self.statistics(images, found.levels, wanted, local)
            found.scores = {name: found.scores[name] + of_dimensions[:, i] for i, name in enumerate(scored)}
        levels = {name: directions(level.float()) for name, level in zip(self.level_names, found.levels) if leveled}
        output = ScoreOutput(found.scores, levels or found.features)
        if weighted:
            with torch.set_grad_enabled(torch.is_grad_enabled() and (request.score or not fixed_weights)):
                weights = self.weighting(normalized, found.maps or self._gathered(found.levels))
            output.extras["weights"] = weights if ratio is None else weights * ratio
        if local:
            scores = self._local_scores(images, found)
            output.extras["local_scores"] = scores if added is None else scores + added
        if request.score:
            scores = torch.stack([found.scores[name] for name in everything], dim=1)
            if local:
                scores = scores + output.extras["local_scores"]
            output.overall = self.fuse(scores * output.extras["weights"]).squeeze(1)
        return output

    def _run_branches(
        self, images: Tensor, scored: tuple[str, ...], mapped: tuple[str, ...], weighted: bool, leveled: bool
    ) -> BranchOutput:
        """Runs the branches that have something to do; the maps returned are those of the first."""
        found = BranchOutput()
        gathered = weighted and self.config.fusion.weight_trunk is None
        shares = gathered or leveled or bool(scored and self.statistics is not None)
        for index, config in enumerate(self.config.branches):
            needed = set(config.dimensions).intersection(scored + mapped)
            if not needed and not (shares and index == 0):
                continue
            out: BranchOutput = self.branches[config.name](images, scored, mapped)
            found.scores.update(out.scores)
            found.features.update(out.features)
            if index == 0:
                found.maps, found.levels = out.maps, out.levels
        return found

    def _gathered(self, levels: list[Tensor]) -> list[Tensor]:
        """The shared pyramid, where only the instance weights read it."""
        backbone: Any = self.branches[self.config.branches[0].name].backbone
        return backbone.gather(levels) if levels else []

    def _local_scores(self, images: Tensor, found: BranchOutput) -> Tensor:
        semantic = None if self.clip is None else self.clip(images)
        if self.joined_local is not None:
            return torch.cat([module(found.features, semantic) for module in self.joined_local]).t()
        local: Mapping[str, nn.Module] = {} if self.local is None else self.local  # type: ignore[assignment]
        return torch.stack([module(found.features[name], semantic) for name, module in local.items()], dim=1)

    def rewrite(self) -> None:
        """Folds the batch norms and joins the heads of each branch, and the local scores of each."""
        super().rewrite()
        for branch in self.branches.values():
            branch.join_heads()  # type: ignore[operator]
        if self.local is not None:
            local: Mapping[str, nn.Module] = self.local  # type: ignore[assignment]
            self.joined_local = nn.ModuleList(
                StackedLocalScores({name: local[name] for name in branch.dimensions}) for branch in self.config.branches
            )
            self.local = None
