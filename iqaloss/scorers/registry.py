"""Which scorers there are."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from iqaloss._errors import unknown_name
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.cards import ScorerCard

_BUILT_IN = ("mdiqa", "lar_iqa", "pmt_iqa", "moe_agiqa", "sr_iqa")
"""Modules beside this one that register scorers when imported; importing them loads no heavy package."""

_ENTRIES: dict[str, ScorerEntry] = {}


@dataclass(frozen=True)
class ScorerEntry:
    """A registered scorer: its card, its class and its configurations.

    Attributes:
        card: What is known of it.
        scorer_class: The class that is built.
        config: The published architecture.
        tiny: A small configuration of the same architecture, for tests and quick trials.
    """

    card: ScorerCard
    scorer_class: type[Scorer]
    config: Any
    tiny: Any


def register_scorer(card: ScorerCard, *, config: Any, tiny: Any) -> Callable[[type[Scorer]], type[Scorer]]:
    """Class decorator that registers a scorer under its card's name.

    Args:
        card: What is known of the scorer.
        config: Its architecture as published.
        tiny: A small configuration of the same architecture that runs in well under a second.

    Raises:
        ValueError: If the name is taken by another class.
    """

    def decorate(scorer_class: type[Scorer]) -> type[Scorer]:
        old = _ENTRIES.get(card.name)
        if old is not None and old.scorer_class.__qualname__ != scorer_class.__qualname__:
            raise ValueError(f"scorer name {card.name!r} is taken by {old.scorer_class.__qualname__}")
        _ENTRIES[card.name] = ScorerEntry(card, scorer_class, config, tiny)
        return scorer_class

    return decorate


def _entries() -> dict[str, ScorerEntry]:
    for module in _BUILT_IN:
        importlib.import_module(f"iqaloss.scorers.{module}")
    return _ENTRIES


def entry(name: str) -> ScorerEntry:
    """Returns the registry entry of a scorer; raises ``ValueError`` with the nearest name for an unknown one."""
    entries = _entries()
    if name not in entries:
        raise ValueError(unknown_name("scorer", name, sorted(entries)))
    return entries[name]


def list_scorers() -> list[str]:
    """Returns the names of all registered scorers, sorted.

    Example:
        >>> "mdiqa-mobile" in list_scorers()
        True
    """
    return sorted(_entries())
