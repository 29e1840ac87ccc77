"""SR-IQA: CLIP learns photographs' scores, then a rectifier learns which restoration methods are better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from einops import rearrange
from torch import Tensor

from iqaloss._errors import check_choice
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.sr_iqa.model import SRIQA
from iqaloss.training.objectives import fidelity
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.state import TrainState
from iqaloss.training.tasks.base import Batch, Task, Tensors, register_task

_SCORE = Request(score=True)


class _Windows(Task):
    """Judges the windows that the data hands in, ``[B, P, 3, side, side]``, or whole images."""

    def score(self, images: Tensor) -> Tensor:
        """Returns ``[B]`` for windows, or for images that the scorer cuts itself."""
        model = cast(SRIQA, self.scorer)
        if images.ndim == 5:
            return model.score_windows(images, _SCORE).score
        return model(images, _SCORE).score

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Scores the images of a rated set."""
        return {"score": self.score(batch["image"])}


@register_task("sr_iqa_base")
class BaseTask(_Windows):
    """Stage 1: CLIP with quality prompts learns from pairs within each rated set; all but its temperature learns."""

    @classmethod
    def scorer_options(cls, recipe: Recipe) -> dict[str, Any]:
        """There is no rectifier yet."""
        return {"rectified": False}

    def configure(self, step: int) -> None:
        """Everything but the temperature learns."""
        self.scorer.requires_grad_(True)
        cast(SRIQA, self.scorer).clip.logit_scale.requires_grad_(False)


@dataclass(frozen=True)
class CalibrateOptions:
    """Options of :class:`CalibrateTask`.

    Attributes:
        learns: ``"rectifier"``, with the scorer below it frozen, or ``"everything"`` (Model IV of the ablation,
            and the released code).
        link: Which probability a difference of mean scores stands for: ``"paper"`` (Eq. 4) or ``"released"``.
    """

    learns: str = "rectifier"
    link: str = "paper"

    def __post_init__(self) -> None:
        check_choice("learns", self.learns, ("rectifier", "everything"))
        check_choice("link", self.link, ("paper", "released"))


@register_task("sr_iqa_calibrate")
class CalibrateTask(_Windows):
    """Stage 2 (Eq. 3 to 6): the mean score of each method's images must agree with the methods' ranking.

    The methods' batch size is B of Eq. 4; rated sets teach by pairs as before. Without rated sets the rankings
    teach alone (Model II of the ablation), with B = 1 single images must obey the ranking (Model III).
    """

    options_class = CalibrateOptions
    extra_losses = ("ranking_of_methods",)
    options: CalibrateOptions

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        if cast(SRIQA, scorer).rectifier is None:
            raise ValueError("the scorer has no rectifier: set recipe.scorer.options.rectified to true")
        if recipe.data.methods is None:
            raise ValueError("recipe.data.methods is missing: the ranked methods that calibrate the scorer")
        self.methods = recipe.data.methods

    def configure(self, step: int) -> None:
        """The rectifier learns, or everything but CLIP's temperature and MANIQA."""
        model = cast(SRIQA, self.scorer)
        if self.options.learns == "everything":
            model.requires_grad_(True)
            model.clip.logit_scale.requires_grad_(False)
            if model.maniqa is not None:
                model.maniqa.requires_grad_(False)
            return
        model.requires_grad_(False)
        cast(Any, model.rectifier).requires_grad_(True)

    def train(self, mode: bool = True) -> CalibrateTask:
        """Sets training mode of what learns; a frozen scorer stays in eval mode below its rectifier."""
        super().train(mode)
        if self.options.learns == "rectifier":
            cast(SRIQA, self.scorer).clip.eval()
        if cast(SRIQA, self.scorer).maniqa is not None:
            cast(Any, self.scorer).maniqa.eval()
        return self

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Scores rated images ``[b]``, or the methods' ``[b, M]``."""
        images = batch["image"]
        if dataset != self.methods.name:
            return {"score": self.score(images)}
        flat = self.score(rearrange(images, "b m ... -> (b m) ..."))
        return {"score": rearrange(flat, "(b m) -> b m", b=len(images))}

    def targets(self, dataset: str, batch: Batch) -> Tensors:
        """The human scores, or the methods' ranking repeated for each image."""
        return {"score": batch["ranks"] if dataset == self.methods.name else batch["score"]}

    def losses(self, dataset: str, predicted: Tensors, targets: Tensors, state: TrainState) -> Tensors:
        """Pairs of rated images, or pairs of the methods' means (Eq. 4 and 5)."""
        if dataset != self.methods.name:
            return super().losses(dataset, predicted, targets, state)
        means, ranks = predicted["score"].mean(dim=0), targets["score"][0]
        factor = self.methods.weight * self.recipe.losses.get("ranking_of_methods", 1.0)
        return {"ranking_of_methods": factor * fidelity(means, ranks, link=self.options.link)}
