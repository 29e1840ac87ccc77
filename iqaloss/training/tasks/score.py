"""Any scorer learns its overall score, and dimensions where the data has them: what ``finetune`` does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from iqaloss._errors import unknown_name
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.layers.wordpiece import ReadsPrompts
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.tasks.base import Batch, Task, Tensors, batch_norms, flat_crops, mean_crops, register_task


@dataclass(frozen=True)
class ScoreOptions:
    """Options of :class:`ScoreTask`.

    Attributes:
        train: Dotted names of the modules that learn; everything by default.
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
        if self.options.train:
            scorer.requires_grad_(False)
            for name in self.options.train:
                scorer.get_submodule(name).requires_grad_(True)

    def train(self, mode: bool = True) -> ScoreTask:
        """Sets training mode, but for frozen batch norms."""
        super().train(mode)
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
        dimension = self.options.dimensions.get(dataset)
        if dimension is None:
            out = self.scorer(images, Request(score=True), **conditions).score
        else:
            out = self.scorer(images, Request(dimensions=(dimension,)), **conditions).dimensions[dimension]
        worst, best = self.scorer.card.score_range
        return {"score": (mean_crops(out, crops) - worst) / (best - worst)}
