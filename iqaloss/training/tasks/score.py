"""Any scorer learns its overall score, and dimensions where the data has them: what ``finetune`` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain

from torch import nn

from iqaloss._errors import unknown_name
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.layers.wordpiece import ReadsPrompts
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.state import TrainState
from iqaloss.training.tasks.base import Batch, Task, Tensors, batch_norms, flat_crops, mean_crops, register_task
from iqaloss.training.tasks.own_recipes import learns_as_published

EVERYTHING = ("everything",)
LEAST = 2
"""Images of which a correlation can be taken."""


@dataclass(frozen=True)
class ScoreOptions:
    """Options of :class:`ScoreTask`.

    Attributes:
        train: Dotted names of the modules that learn, or ``"everything"``; by default what the last stage of the
            scorer's own recipe trains (:mod:`iqaloss.training.tasks.own_recipes`).
        freeze_batch_norm: Whether batch norms keep their statistics.
        dimensions: Data set to the scorer's dimension that it teaches; the others teach the overall score.
        tokenizer: A BERT ``vocab.txt`` or its folder, for a scorer that reads the images' prompts.
    """

    train: tuple[str, ...] = ()
    freeze_batch_norm: bool = True
    dimensions: Mapping[str, str] = field(default_factory=dict)
    tokenizer: str | None = None


@register_task("score")
class ScoreTask(Task):
    """The scorer's own score of each image (the mean over its crops) against the human one.

    Human scores in [0, 1] are compared with scores that the card's range maps to [0, 1].
    """

    options_class = ScoreOptions
    options: ScoreOptions

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        for dataset, dimension in self.options.dimensions.items():
            if dataset not in self.datasets:
                raise ValueError(f"recipe.options.dimensions: {unknown_name('data set', dataset, self.datasets)}")
            scorer.resolve(Request(dimensions=(dimension,)))
        if self.options.tokenizer is not None:
            if not isinstance(scorer, ReadsPrompts):
                raise ValueError(f"{scorer.card.name} reads no prompts: leave the tokenizer out")
            scorer.use_tokenizer(self.options.tokenizer)
        self.columns: Mapping[str, tuple[str, ...]] = {}
        self.finds({})

    def finds(self, dimensions: Mapping[str, tuple[str, ...]]) -> None:
        """Learns the dimensions beside the score."""
        self.columns = dimensions
        chosen, taught = self.options.train, {*self.options.dimensions.values(), *chain(*dimensions.values())}
        self.scorer.resolve(Request(dimensions=tuple(taught)))
        if not chosen:
            learns_as_published(self.scorer, taught)
        elif chosen != EVERYTHING:
            self.scorer.requires_grad_(False)
            for name in chosen:
                self.scorer.get_submodule(name).requires_grad_(True)
        self.fixed = [module for module in self.scorer.modules() if _is_fixed(module)]

    def learning(self) -> str:
        """Returns what learns, and from which columns."""
        columns = [*dict.fromkeys(chain(*self.columns.values()))]
        return f"{super().learning()}; from the score" + (f" and {', '.join(columns)}" if columns else "")

    def train(self, mode: bool = True) -> ScoreTask:
        """Sets training mode, but for modules of which nothing learns and for frozen batch norms."""
        super().train(mode)
        for module in self.fixed:
            module.training = False
        if self.options.freeze_batch_norm:
            for layer in batch_norms(self):
                layer.eval()
        return self

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Scores the images of a data set, mapped to [0, 1]."""
        images, crops = flat_crops(batch["image"])
        conditions = {}
        if getattr(self.scorer, "tokenizer", None) is not None and "prompt" in batch:
            conditions["prompts"] = [prompt for prompt in batch["prompt"] for _ in range(crops)]
        dimension, beside = self.options.dimensions.get(dataset), self.columns.get(dataset, ())
        wanted = beside if dimension is None else (*beside, dimension)
        out = self.scorer(images, Request(score=dimension is None, dimensions=wanted), **conditions)
        found = {name: out.dimensions[name] for name in beside}
        found["score"] = out.score if dimension is None else out.dimensions[dimension]
        worst, best = self.scorer.card.score_range
        return {name: (mean_crops(value, crops) - worst) / (best - worst) for name, value in found.items()}

    def targets(self, dataset: str, batch: Batch) -> Tensors:
        """Returns the human scores, and those of the dimensions."""
        beside = {name: batch[f"target {name}"] for name in self.columns.get(dataset, ())}
        return {**super().targets(dataset, batch), **beside}

    def losses(self, dataset: str, predicted: Tensors, targets: Tensors, state: TrainState) -> Tensors:
        """Adds the same terms for each dimension, over the images that have a score of it."""
        terms = super().losses(dataset, predicted, targets, state)
        for name in self.columns.get(dataset, ()):
            known = targets[name].isfinite()
            if known.sum() < LEAST:
                continue
            of_one = {"score": predicted[name][known]}, {"score": targets[name][known]}
            terms |= {f"{name} {term}": value for term, value in super().losses(dataset, *of_one, state).items()}
        return terms


def _is_fixed(module: nn.Module) -> bool:
    values = list(module.parameters())
    return bool(values) and not any(value.requires_grad for value in values)
