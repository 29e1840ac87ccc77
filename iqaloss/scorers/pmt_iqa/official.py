"""State dicts of PMT-IQA's released code: how their keys become ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from iqaloss._errors import unknown_name
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.pmt_iqa.config import RELEASED
from iqaloss.scorers.prefixes import load_prefixed

if TYPE_CHECKING:
    from iqaloss.scorers.pmt_iqa.model import PMTIQA

_PREFIXES = (
    *((f"res.lda{i + 1}_pool.0.", f"scales.{i}.reduce.") for i in range(3)),
    *((f"res.lda{i + 1}_fc.", f"scales.{i}.project.") for i in range(4)),
    ("res.", "trunk."),
    ("fcs.", "heads.shared."),
    ("fc_mos.", "heads.regress."),
    ("fc_cls.", "heads.classify."),
)


def convert(cls: type[PMTIQA], card: ScorerCard, state: Mapping[str, Tensor], **options: Any) -> PMTIQA:
    """Builds the released form; every tensor is loaded.

    Args:
        cls: The scorer's class.
        card: Its card.
        state: The state dict.
        **options: Fields of the config. The file does not tell the label range; the number of levels is read from it.
    """
    allowed = [item.name for item in fields(RELEASED)]
    for option in options:
        if option not in allowed:
            raise ValueError(f"{card.name}: {unknown_name('option', option, allowed)}")
    if options.get("variant", "released") != "released":
        raise ValueError(f"{card.name}: a checkpoint of the released code fits variant='released' only")
    last = state.get("fc_cls.2.weight")
    if last is not None and last.ndim == 2:
        options = {"levels": last.shape[0], **options}
    scorer = cls(card, replace(RELEASED, **options))
    load_prefixed(scorer, state, _PREFIXES, source="the PMT-IQA checkpoint (role 'model')")
    return scorer
