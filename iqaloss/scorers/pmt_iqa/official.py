"""State dicts of PMT-IQA's released code: how their keys become ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from iqaloss._configs import changed
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.pmt_iqa.config import RELEASED
from iqaloss.scorers.pmt_iqa.model import PMTIQA
from iqaloss.scorers.state_dicts import StateDict, load_prefixed

_PREFIXES = (
    *((f"res.lda{i + 1}_pool.0.", f"scales.{i}.reduce.") for i in range(3)),
    *((f"res.lda{i + 1}_fc.", f"scales.{i}.project.") for i in range(4)),
    ("res.", "trunk."),
    ("fcs.", "heads.shared."),
    ("fc_mos.", "heads.regress."),
    ("fc_cls.", "heads.classify."),
)


def convert(scorer_class: type[PMTIQA], card: ScorerCard, files: Mapping[str, StateDict], **options: Any) -> PMTIQA:
    """Builds the released form from a state dict that the released code saved; every tensor is loaded.

    Args:
        scorer_class: The scorer's class.
        card: Its card.
        files: The state dict of role ``model``.
        **options: Fields of the config. The file does not tell the label range; the number of levels is read from it.
    """
    state = files["model"]
    last = state.get("fc_cls.2.weight")
    told = {"levels": last.shape[0]} if last is not None and last.ndim == 2 else {}
    config = changed(RELEASED, {**told, **options}, card.name)
    if config.variant != "released":
        raise ValueError(f"{card.name}: a checkpoint of the released code fits variant='released' only")
    scorer = scorer_class(card, config)
    load_prefixed(scorer, state, _PREFIXES, source="the PMT-IQA checkpoint (role 'model')")
    return scorer
