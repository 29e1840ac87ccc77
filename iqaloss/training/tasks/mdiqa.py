"""MDIQA: first the dimensions of a branch, then their fusion (arXiv 2508.16887)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import nn

from iqaloss._errors import check_choice
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.state import TrainState
from iqaloss.training.tasks.base import Batch, Task, Tensors, batch_norms, register_task


@dataclass(frozen=True)
class DimensionsOptions:
    """Options of :class:`DimensionsTask`.

    Attributes:
        branch: The branch that learns.
        backbone_steps: Step from which its backbone stays as it is and a fresh optimiser goes on with the heads;
            None lets it learn to the end.
    """

    branch: str = "technical"
    backbone_steps: int | None = None


@register_task("mdiqa_dimensions")
class DimensionsTask(Task):
    """Stage 1: one backbone, one head for each dimension, each data set that of one dimension.

    A data set's ``head`` names its dimension. All of them add to the gradient of one step.
    """

    options_class = DimensionsOptions
    restarts_schedule = True
    options: DimensionsOptions

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        model = cast(MDIQA, scorer)
        check_choice("branch", self.options.branch, [branch.name for branch in model.config.branches])
        names = next(branch.dimensions for branch in model.config.branches if branch.name == self.options.branch)
        self.heads = {spec.name: spec.head or spec.target for spec in self.datasets.values()}
        for head in self.heads.values():
            check_choice(f"head of the {self.options.branch} branch", head, names)

    @classmethod
    def unfinished(cls, recipe: Recipe) -> str:
        """The overall score has not been learnt."""
        return f"only the {recipe.options.branch} branch has learnt; the recipes mdiqa_fusion_* start from it"

    def configure(self, step: int) -> None:
        """The branch learns; from ``backbone_steps`` on, its heads only. Batch norms keep statistics and scale."""
        stop = self.options.backbone_steps
        self.scorer.requires_grad_(False)
        branch = self.scorer.get_submodule(f"branches.{self.options.branch}")
        branch.get_submodule("heads").requires_grad_(True)
        if stop is None or step < stop:
            branch.get_submodule("backbone").requires_grad_(True)
            _fix_batch_norms(branch)

    def starts_afresh(self, state: TrainState, previous: TrainState) -> bool:
        """The optimiser starts again when the backbone stops."""
        return state.step == self.options.backbone_steps

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Runs the backbone and the data set's head."""
        name = self.heads[dataset]
        out = self.scorer(batch["image"], Request(dimensions=(name,)))
        return {"score": out.dimensions[name]}


@dataclass(frozen=True)
class FusionOptions:
    """Options of :class:`FusionTask`.

    Attributes:
        reference_behavior: Do as the published code: the projection of CLIP's tokens keeps its random start,
            CLIP's batch norms drift during training, and the weight branch's drift by one batch after each
            change to training mode.
    """

    reference_behavior: bool = False


@register_task("mdiqa_fusion")
class FusionTask(Task):
    """Stage 2: the branches and CLIP stay as they are, everything else learns the overall score."""

    options_class = FusionOptions
    options: FusionOptions

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        self._drift_next = False

    @property
    def model(self) -> MDIQA:
        """The scorer, as what it is."""
        return cast(MDIQA, self.scorer)

    def configure(self, step: int) -> None:
        """The fusion learns; the weight branch's batch norms keep statistics and scale."""
        fusion_learns(self.model)
        if self.model.clip is not None:
            self.model.clip.project.requires_grad_(not self.options.reference_behavior)

    def train(self, mode: bool = True) -> FusionTask:
        """Sets training mode of the fusion; the branches stay in eval mode."""
        began = mode and not self.training
        super().train(mode)
        self.model.branches.eval()
        if self.options.reference_behavior and mode:
            if self.model.clip is not None:
                self.model.clip.visual.train()
            self._drift_next = self._drift_next or began
        return self

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Scores the images as a whole."""
        if self._drift_next and self.training:
            self._weighting_drifts(True)
        out = self.scorer(batch["image"], Request(score=True))
        if self._drift_next:
            self._weighting_drifts(False)
            self._drift_next = False
        return {"score": out.score}

    def _weighting_drifts(self, drifts: bool) -> None:
        for layer in batch_norms(self.model.weighting):
            layer.train(drifts)


def fusion_learns(model: MDIQA) -> None:
    """Lets everything learn but the branches, CLIP and the weight branch's batch norms."""
    model.requires_grad_(True)
    model.branches.requires_grad_(False)
    _fix_batch_norms(model.weighting)
    if model.clip is not None:
        model.clip.visual.requires_grad_(False)


def _fix_batch_norms(module: nn.Module) -> None:
    for layer in batch_norms(module):
        layer.requires_grad_(False)
