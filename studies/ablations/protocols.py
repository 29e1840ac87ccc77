"""What is compared: variants of PMT-IQA and LAR-IQA behind frozen backbones, each an option of its training task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.lar_iqa.config import BRANCHES, LARIQAConfig
from iqaloss.scorers.lar_iqa.model import LARIQA
from iqaloss.scorers.pmt_iqa.config import PMTIQAConfig
from iqaloss.scorers.pmt_iqa.model import PMTIQA
from iqaloss.scorers.registry import entry
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.tasks.base import Batch, Task, Tensors
from iqaloss.training.tasks.lar_iqa import MergeTask
from iqaloss.training.tasks.pmt_iqa import PMTTask


@dataclass(frozen=True)
class Variant:
    """One row of a table: its name, what it is in words, and the option of the training task that makes it."""

    name: str
    label: str
    options: Mapping[str, str]


@dataclass(frozen=True)
class Study:
    """One ablation: what varies, and the protocol that does not.

    Attributes:
        name: Name of the study.
        title: What is compared, in words.
        recipe: Published recipe that losses, weights of losses and weight decay come from.
        config: Architecture; a variant's task may decide its head.
        variants: What is compared.
        comparisons: Pairs of variants (first, second): is the first better?
        task: Builds the trained parts for a recipe and an architecture.
        spread: Standard deviation that every input value is brought to on the training images, with mean 0.
        batch: Images in a step.
        epochs: Passes over the training images; the rate falls to 0 over them in half a cosine.
        rates: Learning rates to choose from, one for all variants.
        choice_seeds: Seeds of the trainings that choose it.
    """

    name: str
    title: str
    recipe: str
    config: Any
    variants: tuple[Variant, ...]
    comparisons: tuple[tuple[str, str], ...]
    task: Callable[[Recipe, Any], Task]
    spread: float
    batch: int
    epochs: int
    rates: tuple[float, ...]
    choice_seeds: tuple[int, ...]


class PooledPMTIQA(PMTIQA):
    """PMT-IQA that is handed its stages' spatial means, ``[B, C1 + C2 + C3 + C4, 1, 1]``, instead of images."""

    def __init__(self, config: PMTIQAConfig) -> None:
        super().__init__(entry("pmt-iqa").card, config)
        self.trunk = nn.Identity()

    def normalize(self, images: Tensor) -> Tensor:
        """Returns the means as they are."""
        return images

    def levels(self, images: Tensor) -> Iterator[Tensor]:
        """Yields the means of each stage as a map of one position."""
        yield from images.split([scale.reduce.in_channels for scale in self.scales], dim=1)


class PooledPMTTask(PMTTask):
    """The training task of PMT-IQA on stored means."""

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Returns scores and level logits."""
        out = self.scorer.compute(batch["pooled"][..., None, None], Request(score=True, extras=("level_logits",)))
        return {"score": out.score, "logits": out.extras["level_logits"]}

    def final_score(self, dataset: str, batch: Batch) -> Tensor:
        """Returns the scores."""
        return self.predict(dataset, batch)["score"]


class ScoredMergeTask(MergeTask):
    """Stage 2 of LAR-IQA on stored class scores of the two backbones."""

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Joins the embeddings of both branches' class scores."""
        model: Any = self.scorer
        embeddings = [model.branches[name].embed(batch[name]) for name in BRANCHES]
        return {"score": model.join(torch.cat(embeddings, dim=1)).squeeze(1)}

    def final_score(self, dataset: str, batch: Batch) -> Tensor:
        """Returns the scores."""
        return self.predict(dataset, batch)["score"]


def pmt_task(recipe: Recipe, config: PMTIQAConfig) -> Task:
    """Builds PMT-IQA's scales and heads in training."""
    return PooledPMTTask(PooledPMTIQA(config), recipe)


def lar_task(recipe: Recipe, config: LARIQAConfig) -> Task:
    """Builds LAR-IQA's embeddings and head in training; the backbones are taken out."""
    options: dict[str, Any] = MergeTask.scorer_options(recipe)
    scorer: Scorer = LARIQA(entry("lar-iqa").card, replace(config, **options))
    for name in BRANCHES:
        scorer.get_submodule(f"branches.{name}").trunk = nn.Identity()
    return ScoredMergeTask(scorer, recipe)


PMT_STUDY = Study(
    name="pmt-iqa",
    title="PMT-IQA and its three ablations",
    recipe="pmt_iqa_bid",
    config=PMTIQAConfig(),
    variants=(
        Variant("resnet_only", "ResNet-50 only (last scale, no level task)", {"ablation": "resnet_only"}),
        Variant("multi_scale_only", "multi-scale, no level task", {"ablation": "multi_scale_only"}),
        Variant("fixed_weights", "multi-scale and levels, fixed weights 0.5 and 0.5", {"ablation": "fixed_weights"}),
        Variant("progressive", "multi-scale and levels, progressive weights (PMT-IQA)", {"ablation": "none"}),
    ),
    comparisons=(
        ("multi_scale_only", "resnet_only"),
        ("fixed_weights", "multi_scale_only"),
        ("progressive", "fixed_weights"),
        ("progressive", "multi_scale_only"),
        ("progressive", "resnet_only"),
    ),
    task=pmt_task,
    spread=1.0,
    batch=64,
    epochs=20,
    rates=(1e-3, 3e-3, 1e-2, 3e-2),
    choice_seeds=(100, 101, 102),
)

LAR_STUDY = Study(
    name="lar-iqa",
    title="LAR-IQA's KAN head against its MLP head",
    recipe="lar_iqa_merge_kan",
    # Both heads shrunk to an embedding of 128 instead of 512; the hidden layer makes their sizes equal (2.3 million).
    config=LARIQAConfig(trunk="mobilenetv3_small_050", embedding=128, hidden=1020),
    variants=(Variant("kan", "KAN head", {"head": "kan"}), Variant("mlp", "MLP head", {"head": "mlp"})),
    comparisons=(("kan", "mlp"),),
    task=lar_task,
    spread=0.5,  # the splines live in [-1, 1]: two standard deviations
    batch=50,
    epochs=10,
    rates=(1e-4, 3e-4, 1e-3),
    choice_seeds=(100,),
)
