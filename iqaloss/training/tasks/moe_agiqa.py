"""MoE-AGIQA: a prior of natural degradations, then generated images with their prompts (CVPR Workshops 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor, nn

from iqaloss._errors import check_choice, check_number
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.moe_agiqa.model import MoEAGIQA
from iqaloss.scorers.moe_agiqa.official import load_role
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.tasks.base import Batch, Task, Tensors, flat_crops, mean_crops, register_task

COMPONENTS = ("vidn", "sean", "ndpm", "tkem")
"""The components of the paper's Table 5: visual network, semantic network, prior, experts."""

WHOLE = "whole"
"""The version of an image that BLIP sees, where the data hand over crops."""


@dataclass(frozen=True)
class PriorOptions:
    """Options of :class:`PriorTask`.

    Attributes:
        fixed_rate: Share of the transformer, from its input, that keeps its weights.
    """

    fixed_rate: float = 0.7


@dataclass(frozen=True)
class FinetuneOptions:
    """Options of :class:`FinetuneTask`.

    Attributes:
        fixed_rate: Share of BLIP's two transformers, from their inputs, that keeps its weights (Table 8).
        without: Components to leave out (Table 5): ``"vidn"``, ``"sean"``, ``"ndpm"`` and ``"tkem"``.
        tokenizer: A BERT ``vocab.txt`` or its folder; without one every prompt counts as the empty text.
    """

    fixed_rate: float = 0.5
    without: tuple[str, ...] = ()
    tokenizer: str | None = None

    def __post_init__(self) -> None:
        check_number("fixed_rate", self.fixed_rate, least=0.0, most=1.0)
        for name in self.without:
            check_choice("component", name, COMPONENTS)
        if {"vidn", "sean"} <= set(self.without):
            raise ValueError("without both vidn and sean nothing is left to score by")


def freeze_share(module: nn.Module, blocks: str, depth: int, rate: float) -> None:
    """Freezes a transformer's parameters, in the order of definition, up to the first one of a block, that included.

    Args:
        module: The transformer.
        blocks: Name of its list of blocks.
        depth: Number of blocks.
        rate: The block is number ``floor(rate * depth)``; at 1 all is frozen, at 0 nothing.
    """
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"fixed_rate must lie in [0, 1], got {rate}")
    module.requires_grad_(True)
    if rate == 0:
        return
    last = f"{blocks}.{int(rate * depth)}."
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(False)
        if name.startswith(last):
            return


def quality_learns(model: MoEAGIQA, fixed_rate: float) -> None:
    """Lets fusion, experts and the later blocks of BLIP learn, and neither of the visual transformers."""
    model.requires_grad_(False)
    model.fusion.requires_grad_(True)
    freeze_share(model.semantic.vision, "blocks", model.config.vision.depth, fixed_rate)
    freeze_share(model.semantic.text, "layers", len(cast(Any, model.semantic.text).layers), fixed_rate)


class _Official(Task):
    """Starts from ImageReward's file and from timm's weights, under their own names."""

    @classmethod
    def load_role(cls, scorer: Scorer, role: str, state: Mapping[str, Tensor]) -> None:
        """Loads ``"reward"`` (ImageReward.pt), ``"vit"`` or ``"vit_prior"`` (timm)."""
        load_role(cast(MoEAGIQA, scorer), role, state)


@register_task("moe_agiqa_prior")
class PriorTask(_Official):
    """The prior's vision transformer learns photographs' scores through a small head that is dropped afterwards."""

    options_class = PriorOptions
    options: PriorOptions

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        config = cast(MoEAGIQA, scorer).config
        if not config.prior:
            raise ValueError("the scorer has no prior to train: set recipe.scorer.options.prior to true")
        width = config.visual.width
        self.head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))

    @classmethod
    def unfinished(cls, recipe: Recipe) -> str:
        """The rest is not even of its own size."""
        return "only the prior has learnt; the recipes moe_agiqa_* start from it"

    def configure(self, step: int) -> None:
        """The prior's last blocks and the head learn."""
        model = cast(MoEAGIQA, self.scorer)
        model.requires_grad_(False)
        freeze_share(model.prior, "blocks", model.config.visual.depth, self.options.fixed_rate)

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Averages the head's scores over an image's crops."""
        crops, count = flat_crops(batch["image"])
        token = cast(MoEAGIQA, self.scorer).prior.forward_features(crops)[:, 0]
        return {"score": mean_crops(self.head(token).squeeze(1), count)}


@register_task("moe_agiqa")
class FinetuneTask(_Official):
    """Fusion, experts and the last half of BLIP learn; both visual transformers stay as they are.

    A data set hands over whole images, of which the scorer takes crops, or crops of its own and, as the version
    ``whole``, what BLIP sees. BLIP looks at each image once.

    Components are left out without changing the architecture, so that the checkpoint loads like any other: a
    single expert for ``tkem``, version 1 for ``ndpm``, an attention of zeros for ``sean``, and visual tokens that
    do not depend on the image for ``vidn``.
    """

    options_class = FinetuneOptions
    options: FinetuneOptions

    def __init__(self, scorer: Scorer, recipe: Recipe) -> None:
        super().__init__(scorer, recipe)
        for name, spec in self.datasets.items():
            if spec.transform.crops > 1 and WHOLE not in spec.versions:
                raise ValueError(f"recipe.data: {name} takes crops, so BLIP needs the version {WHOLE!r} beside them")
        self.silent: list[Tensor] = []
        fusion: Any = cast(MoEAGIQA, scorer).fusion
        if "sean" in self.options.without:
            self.silent += [fusion.attention.value.weight, *fusion.attention.project.parameters()]
        if "vidn" in self.options.without:
            self.silent += [fusion.norm_visual.weight]
        for parameter in self.silent:
            nn.init.zeros_(parameter)
        if self.options.tokenizer is not None:
            cast(MoEAGIQA, scorer).use_tokenizer(self.options.tokenizer)

    @classmethod
    def scorer_options(cls, recipe: Recipe) -> dict[str, Any]:
        """What is left out of the architecture."""
        without = recipe.options.without
        out: dict[str, Any] = {}
        if "ndpm" in without:
            out["prior"] = False
        if "tkem" in without:
            out["fusion"] = {"experts": 1, "best": 1}
        return out

    @classmethod
    def leaves_out(cls, recipe: Recipe) -> tuple[str, ...]:
        """Version 1 has no prior."""
        return ("prior", "vit_prior") if "ndpm" in recipe.options.without else ()

    def configure(self, step: int) -> None:
        """Fusion and experts learn, and BLIP's later blocks; ImageReward's head and both visual networks do not."""
        quality_learns(cast(MoEAGIQA, self.scorer), self.options.fixed_rate)
        if "sean" in self.options.without:
            cast(MoEAGIQA, self.scorer).semantic.requires_grad_(False)
        for parameter in self.silent:
            parameter.requires_grad_(False)

    def predict(self, dataset: str, batch: Batch) -> Tensors:
        """Averages the scores of an image's crops."""
        reads = cast(MoEAGIQA, self.scorer).tokenizer is not None
        prompts = list(batch["prompt"]) if "prompt" in batch and reads else None
        images, crops = flat_crops(batch["image"])
        conditions = {"prompts": prompts, "prompt_images": batch.get(WHOLE), "crops_given": crops}
        return {"score": self.scorer(images, Request(score=True), **conditions).score}
