"""What of a scorer learns in a fine-tuning: what the last stage of its own recipe lets learn, and no more."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

from iqaloss.scorers.base import Scorer
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.scorers.moe_agiqa.model import MoEAGIQA
from iqaloss.scorers.sr_iqa.model import SRIQA
from iqaloss.training.tasks.mdiqa import fusion_learns
from iqaloss.training.tasks.moe_agiqa import FinetuneOptions, quality_learns


def learns_as_published(scorer: Scorer, dimensions: Collection[str] = ()) -> None:
    """Sets which parameters learn; a scorer without a recipe that keeps something learns as a whole.

    Args:
        scorer: The scorer.
        dimensions: Those that are learnt beside the overall score.
    """
    scorer.requires_grad_(True)
    own = _OWN.get(scorer.card.name)
    if own is not None:
        own(scorer, dimensions)


def _mdiqa(scorer: Scorer, dimensions: Collection[str]) -> None:
    """The fusion (``mdiqa_fusion_*``); of what is below it the heads of dimensions that are taught."""
    model = cast(MDIQA, scorer)
    fusion_learns(model)
    for branch in cast(Any, model.branches).values():
        for name in set(branch.heads) & set(dimensions):
            branch.heads[name].requires_grad_(True)


def _mdiqa_mobile(scorer: Scorer, dimensions: Collection[str]) -> None:
    """Heads and fusion; the backbone, and what the statistics say of dimensions, were made before."""
    model = cast(MDIQA, scorer)
    for branch in cast(Any, model.branches).values():
        branch.backbone.trunk.requires_grad_(False)
    if model.statistics is not None:
        model.statistics.dimension.requires_grad_(False)


def _moe_agiqa(scorer: Scorer, dimensions: Collection[str]) -> None:
    """Fusion, experts and BLIP's later half (``moe_agiqa_*``)."""
    quality_learns(cast(MoEAGIQA, scorer), FinetuneOptions().fixed_rate)


def _sr_iqa(scorer: Scorer, dimensions: Collection[str]) -> None:
    """The rectifier (``sr_iqa_calibrate``), or without one everything but the temperature (``sr_iqa_base``)."""
    model = cast(SRIQA, scorer)
    model.requires_grad_(model.rectifier is None)
    model.clip.logit_scale.requires_grad_(False)
    if model.rectifier is not None:
        model.rectifier.requires_grad_(True)


_OWN: Mapping[str, Callable[[Scorer, Collection[str]], None]] = {
    "mdiqa": _mdiqa,
    "mdiqa-mobile": _mdiqa_mobile,
    "moe-agiqa": _moe_agiqa,
    "sr-iqa": _sr_iqa,
}
