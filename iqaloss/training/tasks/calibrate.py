"""Any scorer learns which restoration methods are better from the methods' ranking (SR-IQA, Eq. 3 to 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from iqaloss._errors import check_choice
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.calibration import BEST, WORST, Calibration, reads_of
from iqaloss.training.objectives import fidelity
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.state import TrainState
from iqaloss.training.tasks.base import Batch, Task, Tensors, batch_norms, flat_crops, mean_crops, register_task

MOST_AT_ONCE = 32  # images of a frozen scorer, whose features are all that is kept of them


@dataclass(frozen=True)
class CalibrateOptions:
    """Options of calibration.

    Attributes:
        learns: ``"rectifier"``, with the scorer below it frozen, or ``"everything"`` (Model IV of the ablation).
        link: Which probability a difference of mean scores stands for: ``"paper"`` (Eq. 4) or ``"released"``.
    """

    learns: str = "rectifier"
    link: str = "paper"

    def __post_init__(self) -> None:
        check_choice("learns", self.learns, ("rectifier", "everything"))
        check_choice("link", self.link, ("paper", "released"))


class RanksMethods(Task):
    """The mean score of each method's images must agree with the methods' ranking.

    The methods' batch size is B of Eq. 4; rated sets teach by pairs of images. Without rated sets the rankings teach
    alone (Model II of the ablation), with B = 1 single images must obey the ranking (Model III).
    """

    options_class = CalibrateOptions
    extra_losses = ("ranking_of_methods",)
    options: CalibrateOptions
    score: Callable[[Tensor], Tensor]
    """Scores ``[B]`` of images, higher is better, on a scale from 1 to 5."""

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        if recipe.data.methods is None:
            raise ValueError("recipe.data.methods is missing: the ranked methods that calibrate the scorer")
        self.methods = recipe.data.methods

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Scores rated images ``[b]``, or the methods' ``[b, M]``."""
        images = batch["image"]
        if dataset != self.methods.name:
            return {"score": self.score(images)}
        flat = self.score(rearrange(images, "b m ... -> (b m) ..."))
        return {"score": rearrange(flat, "(b m) -> b m", b=len(images))}

    def targets(self, dataset: str, batch: Batch) -> Tensors:
        """The human scores, or the methods' ranking repeated for each image."""
        return {"score": batch["ranks"]} if dataset == self.methods.name else super().targets(dataset, batch)

    def losses(self, dataset: str, predicted: Tensors, targets: Tensors, state: TrainState) -> Tensors:
        """Pairs of rated images, or pairs of the methods' means (Eq. 4 and 5)."""
        if dataset != self.methods.name:
            return super().losses(dataset, predicted, targets, state)
        means, ranks = predicted["score"].mean(dim=0), targets["score"][0]
        factor = self.methods.weight * self.recipe.losses.get("ranking_of_methods", 1.0)
        return {"ranking_of_methods": factor * fidelity(means, ranks, link=self.options.link)}


@register_task("calibrate")
class CalibrateTask(RanksMethods):
    """A calibration on top of the scorer's features learns, or the whole scorer without one."""

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        if self.options.learns == "rectifier" and scorer.calibration is None:
            scorer.calibration = Calibration(reads_of(scorer))

    def configure(self, step: int) -> None:
        """The calibration learns, or everything."""
        self.scorer.requires_grad_(self.options.learns == "everything")
        if self.options.learns == "rectifier":
            self.scorer.calibration.requires_grad_(True)

    def train(self, mode: bool = True) -> CalibrateTask:
        """Sets training mode of what learns; batch norms keep their statistics."""
        super().train(mode)
        if self.options.learns == "rectifier":
            self.scorer.eval()
            self.scorer.calibration.train(mode)
        for layer in batch_norms(self):
            layer.eval()
        return self

    def score(self, images: Tensor) -> Tensor:
        """Returns ``[B]``, the mean over the crops of each image."""
        flat, crops = flat_crops(images)
        at_once = len(flat) if self.options.learns == "everything" else MOST_AT_ONCE
        found = [self.scorer(part, Request(score=True)).score for part in flat.split(at_once)]
        worst, best = self.scorer.card.score_range
        return WORST + (mean_crops(torch.cat(found), crops) - worst) / (best - worst) * (BEST - WORST)
