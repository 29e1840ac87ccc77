"""PMT-IQA: from the easy task, the quality level, to the hard one, the score (arXiv 2301.01182)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from einops import repeat
from torch import nn

from iqaloss._configs import changed
from iqaloss._errors import check_choice, check_number
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.pmt_iqa.model import PMTIQA
from iqaloss.scorers.registry import entry
from iqaloss.training.objectives import level_cross_entropy, quality_levels
from iqaloss.training.objectives.levels import level_count
from iqaloss.training.schedules import PMT_FIXED, progressive_weights
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.state import TrainState
from iqaloss.training.tasks.base import (
    OBJECTIVES,
    Batch,
    Task,
    Tensors,
    flat_crops,
    mean_crops,
    register_task,
)
from iqaloss.training.tasks.pmt_widths import matched_hidden, stage_channels

ABLATIONS = ("none", "resnet_only", "multi_scale_only", "fixed_weights")
WITHOUT_LEVELS = ("resnet_only", "multi_scale_only")
_LEVELS = "levels"


@dataclass(frozen=True)
class PMTOptions:
    """Options of :class:`PMTTask`.

    Attributes:
        schedule: How the weights of score and levels move: ``"paper"`` (Eq. 10), ``"released"`` or ``"fixed"``.
        xi: Strength of the paper's schedule.
        fixed: The two weights of the fixed schedule; the paper's ablation has 0.5 and 0.5, the released code
            0.9419036 and 0.9602832.
        interval: Length w of a level's interval on the scale of the scorer's ``label_range``, which then decides the
            number of levels K (Eq. 3); None takes the scorer's ``levels``.
        level_rule: How scores become levels: ``"floor"`` or ``"round"``.
        ablation: ``"resnet_only"`` (the last scale alone, no levels), ``"multi_scale_only"`` (no levels),
            ``"fixed_weights"`` (levels with the fixed weights), or ``"none"``.
        match_widths: Whether an ablation's score head is widened until as many parameters learn as in the whole model,
            as in the paper; the released form stays as it is.
        fresh_optimizer: Whether the optimiser forgets its moments after each epoch, as the released code does.
    """

    schedule: str = "paper"
    xi: float = 1.0
    fixed: tuple[float, float] = PMT_FIXED
    interval: float | None = None
    level_rule: str = "floor"
    ablation: str = "none"
    match_widths: bool = True
    fresh_optimizer: bool = False

    def __post_init__(self) -> None:
        check_choice("schedule", self.schedule, ("paper", "released", "fixed"))
        check_choice("level_rule", self.level_rule, ("floor", "round"))
        check_choice("ablation", self.ablation, ABLATIONS)
        check_number("xi", self.xi, above=0.0)
        check_number("interval", self.interval, above=0.0)


@register_task("pmt_iqa")
class PMTTask(Task):
    """``L = l1(t) L1(score) + l2(t) CE(levels)`` with weights that move from epoch to epoch; crops count as images.

    The recipe's ``losses`` name the score's objective (``l1``) and ``levels``; their factors multiply l1 and l2.
    Scores are compared on the scale of the scorer's ``label_range``.
    """

    options_class = PMTOptions
    extra_losses = (_LEVELS,)
    options: PMTOptions

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        config = cast(PMTIQA, scorer).config
        worst, best = config.label_range
        self.count, self.span = config.levels, abs(best - worst)
        if self.options.ablation == "resnet_only":
            self._silence_scales()

    @classmethod
    def scorer_options(cls, recipe: Recipe) -> dict[str, Any]:
        """Levels follow from the range of the scores and the interval (Eq. 3), hidden widths from the ablation."""
        found = cls._levels(recipe)
        scales = {"resnet_only": 1, "multi_scale_only": 4}.get(recipe.options.ablation)
        given = recipe.scorer.weights is not None or "score_hidden" in recipe.scorer.options
        if scales is None or given or not recipe.options.match_widths:
            return found
        item = entry(recipe.scorer.name)
        config = changed(item.tiny if recipe.scorer.size == "tiny" else item.config, found, "task")
        config = changed(config, recipe.scorer.options, "recipe.scorer.options")
        if config.variant != "paper":
            return found
        return {**found, "score_hidden": matched_hidden(config, stage_channels(config.trunk), scales)}

    @staticmethod
    def _levels(recipe: Recipe) -> dict[str, Any]:
        interval = recipe.options.interval
        if interval is None:
            return {}
        if "levels" in recipe.scorer.options:
            raise ValueError("options.interval decides the number of levels: leave scorer.options.levels out")
        low, high = recipe.scorer.options.get("label_range", (0.0, 1.0))
        return {"levels": level_count(float(low), float(high), interval)}

    def _silence_scales(self) -> None:
        """Lets the first three scales contribute zeros for good: the architecture stays loadable."""
        for scale in cast(Any, self.scorer).scales[:-1]:
            for parameter in cast(nn.Module, scale).parameters():
                nn.init.zeros_(parameter)

    def configure(self, step: int) -> None:
        """Everything learns; silenced scales do not, and neither does a level head without a loss."""
        self.scorer.requires_grad_(True)
        if self.options.ablation in WITHOUT_LEVELS:
            cast(Any, self.scorer).heads.classify.requires_grad_(False)
        if self.options.ablation == "resnet_only":
            for scale in cast(Any, self.scorer).scales[:-1]:
                scale.requires_grad_(False)

    def starts_afresh(self, state: TrainState, previous: TrainState) -> bool:
        """At each new epoch, if the released code is followed."""
        return self.options.fresh_optimizer and state.epoch != previous.epoch

    def weights(self, state: TrainState) -> tuple[float, float]:
        """Returns the weights of score and levels."""
        options = self.options
        if options.ablation in WITHOUT_LEVELS:
            return 1.0, 0.0
        if options.ablation == "fixed_weights" or options.schedule == "fixed":
            return options.fixed
        return progressive_weights(state.epoch, state.epochs, xi=options.xi, form=options.schedule)

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Returns scores and level logits of every crop."""
        images, _ = flat_crops(batch["image"])
        out = self.scorer(images, Request(score=True, extras=("level_logits",)))
        return {"score": out.score, "logits": out.extras["level_logits"]}

    def targets(self, dataset: str, batch: Batch) -> Tensors:
        """Repeats each image's score for its crops."""
        _, crops = flat_crops(batch["image"])
        return {"score": repeat(batch["score"], "b -> (b p)", p=crops)}

    def losses(self, dataset: str, predicted: Tensors, targets: Tensors, state: TrainState) -> Tensors:
        """The weighted terms of Eq. 9; one that weighs nothing is left out, unless both do."""
        score, level = self.weights(state)
        share = self.datasets[dataset].weight
        terms: Tensors = {}
        for name, factor in self.recipe.losses.items():
            if name == _LEVELS:
                labels = quality_levels(targets["score"], self.count, rule=self.options.level_rule)
                terms[name] = share * level * factor * level_cross_entropy(predicted["logits"], labels)
            else:
                raw = OBJECTIVES[name](self.span * predicted["score"], self.span * targets["score"])
                terms[name] = share * score * factor * raw
        return terms

    def final_score(self, dataset: str, batch: Batch) -> torch.Tensor:
        """Averages the scores of an image's crops."""
        images, crops = flat_crops(batch["image"])
        return mean_crops(self.scorer(images, Request(score=True)).score, crops)
