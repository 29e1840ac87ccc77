"""SR-IQA: CLIP learns photographs' scores, then a rectifier learns which restoration methods are better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.sr_iqa.model import SRIQA
from iqaloss.scorers.sr_iqa.official import load_role
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.tasks.base import Batch, Task, Tensors, register_task
from iqaloss.training.tasks.calibrate import RanksMethods

_SCORE = Request(score=True)


class _Windows(Task):
    """Judges the windows that the data hands in, ``[B, P, 3, side, side]``, or whole images."""

    @classmethod
    def load_role(cls, scorer: Scorer, role: str, state: Mapping[str, Tensor]) -> None:
        """Loads ``"clip"``, ``"rectifier"`` or ``"maniqa"`` as published."""
        load_role(cast(SRIQA, scorer), role, state)

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


@register_task("sr_iqa_calibrate")
class CalibrateTask(RanksMethods, _Windows):
    """Stage 2 (Eq. 3 to 6): SR-IQA's own rectifier learns the methods' ranking; rated sets teach by pairs as before.

    Without a rectifier the scorer itself learns both: Model IV of the ablation.
    """

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        if cast(SRIQA, scorer).rectifier is None and self.options.learns == "rectifier":
            raise ValueError(
                "the scorer has no rectifier to learn: set recipe.scorer.options.rectified to true, or "
                "recipe.options.learns to everything (Model IV)"
            )

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
