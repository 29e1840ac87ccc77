"""LAR-IQA: first each branch with a head for each data set, then both joined (arXiv 2408.17057)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from iqaloss._errors import check_choice
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.lar_iqa.config import BRANCHES, check_spaces
from iqaloss.scorers.lar_iqa.model import LARIQA, Branch
from iqaloss.scorers.lar_iqa.preprocess import to_spaces
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.tasks.base import Batch, Task, Tensors, register_task


@dataclass(frozen=True)
class SpacesOptions:
    """What both stages may say.

    Attributes:
        color_spaces: The colour spaces that are drawn from, one draw for each image.
    """

    color_spaces: tuple[str, ...] = ("RGB", "HSV", "LAB", "YUV")

    def __post_init__(self) -> None:
        check_spaces(self.color_spaces)


@dataclass(frozen=True)
class BranchOptions(SpacesOptions):
    """Options of :class:`BranchTask`: ``branch`` is ``"authentic"`` or ``"synthetic"``."""

    branch: str = "authentic"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("branch", self.branch, BRANCHES)


@dataclass(frozen=True)
class MergeOptions(SpacesOptions):
    """Options of :class:`MergeTask`: ``head`` is ``"kan"`` or ``"mlp"``."""

    head: str = "kan"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("head", self.head, ("kan", "mlp"))


def drawn_spaces(images: Tensor, draws: Tensor, spaces: tuple[str, ...]) -> Tensor:
    """Converts each image ``[B, 3, H, W]`` to a space picked by its draw ``[B]``, the same whatever process it is on.

    Example:
        >>> drawn_spaces(torch.rand(2, 3, 8, 8), torch.tensor([0, 5]), ("RGB", "YUV")).shape
        torch.Size([2, 3, 8, 8])
    """
    if spaces == ("RGB",):
        return images
    numbers = [int(draw) % len(spaces) for draw in draws]
    return torch.cat([to_spaces(images[i : i + 1], (spaces[number],)) for i, number in enumerate(numbers)])


class _Inputs(Task):
    """Feeds the branches."""

    def spaces(self) -> tuple[str, ...]:
        """The colour spaces to draw from: all of them in training, the scorer's own in validation."""
        own = check_spaces(cast(LARIQA, self.scorer).config.color_space)
        return tuple(self.options.color_spaces) if self.training else own[:1]

    def branch_input(self, batch: Batch, branch: str) -> Tensor:
        """Returns what a branch's network sees: the version of its name, or else the image as the data hands it over.

        Colours are converted after the data's resize or crop.
        """
        images = drawn_spaces(batch.get(branch, batch["image"]), batch["draw"], self.spaces())
        return cast(LARIQA, self.scorer).normalize(images)


@register_task("lar_iqa_branch")
class BranchTask(_Inputs):
    """Stage 1: one branch's backbone learns with a linear head for each data set, all sets at once.

    The published code leaves this stage out; the poster says "multi-head, multi-task". The heads are dropped
    afterwards: the scorer that is saved has the backbone, and the second stage takes it up.
    """

    options_class = BranchOptions
    options: BranchOptions

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        logits = cast(LARIQA, scorer).config.logits
        self.head_of = {name: spec.head or spec.name for name, spec in self.datasets.items()}
        taught = sorted({spec.head or spec.name for spec in recipe.data.train})
        for head in self.head_of.values():
            check_choice("head (one for each training set)", head, taught)
        self.heads = nn.ModuleDict({name: nn.Linear(logits, 1) for name in taught})

    @classmethod
    def unfinished(cls, recipe: Recipe) -> str:
        """What joins the branches has not learnt."""
        return f"only the {recipe.options.branch} branch has learnt; the recipes lar_iqa_merge_* start from it"

    def configure(self, step: int) -> None:
        """The branch's backbone and the heads learn."""
        self.scorer.requires_grad_(False)
        self.scorer.get_submodule(f"branches.{self.options.branch}.trunk").requires_grad_(True)

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Runs the branch's backbone and the data set's head."""
        branch = cast(Branch, self.scorer.get_submodule(f"branches.{self.options.branch}"))
        logits = branch(self.branch_input(batch, self.options.branch), (), logits=True, embedding=False).logits
        return {"score": self.heads[self.head_of[dataset]](logits).squeeze(1)}


@register_task("lar_iqa_merge")
class MergeTask(_Inputs):
    """Stage 2: both branches and what joins them learn the score; everything is trained."""

    options_class = MergeOptions
    options: MergeOptions

    @classmethod
    def scorer_options(cls, recipe: Recipe) -> dict[str, object]:
        """The head decides the architecture."""
        return {"head": recipe.options.head}

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Joins the embeddings of both branches."""
        model = cast(LARIQA, self.scorer)
        embeddings = [
            cast(Branch, model.branches[name])(
                self.branch_input(batch, name), (), logits=False, embedding=True
            ).embedding
            for name in BRANCHES
        ]
        return {"score": model.join(torch.cat(embeddings, dim=1)).squeeze(1)}

    def final_score(self, dataset: str, batch: Batch) -> Tensor:
        """Scores whole images the way the scorer is used."""
        return self.scorer(batch["image"], Request(score=True)).score
