"""Which scorers there are."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from iqaloss._errors import unknown_name
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.cards import ScorerCard

_PUBLISHED = ("mdiqa", "lar_iqa", "pmt_iqa", "moe_agiqa", "sr_iqa")
"""Packages beside this module that register scorers when imported, on the first question: `import iqaloss` is light."""

_ENTRIES: dict[str, ScorerEntry] = {}


@dataclass(frozen=True)
class ScorerEntry:
    """A registered scorer: its card, its class and its configurations.

    Attributes:
        card: What is known of it.
        scorer_class: The class that is built.
        config: The published architecture.
        tiny: A small configuration of the same architecture, for tests and quick trials.
        convert: ``convert(scorer_class, card, files, **options)`` builds the scorer from official state dicts, role by
            role, with some fields of its config given; None for a scorer without official files.
        open_file: ``open_file(role, loaded)`` returns the state dict inside what an official file holds; None where
            the usual wrappers are all there is.
    """

    card: ScorerCard
    scorer_class: type[Scorer]
    config: Any
    tiny: Any
    convert: Callable[..., Scorer] | None = None
    open_file: Callable[[str, Any], Any] | None = None


def register_scorer(
    card: ScorerCard,
    scorer_class: type[Scorer],
    *,
    config: Any,
    tiny: Any,
    convert: Callable[..., Scorer] | None = None,
    open_file: Callable[[str, Any], Any] | None = None,
) -> None:
    """Registers a scorer under its card's name.

    Args:
        card: What is known of the scorer.
        scorer_class: The class that is built with the card and a config.
        config: Its architecture as published.
        tiny: A small configuration of the same architecture that runs in well under a second.
        convert: Builds it from official state dicts; see :class:`ScorerEntry`.
        open_file: Opens official files that are wrapped in a way of their own; see :class:`ScorerEntry`.

    Raises:
        ValueError: If the name is taken by another class.

    Example:
        >>> mobile = entry("mdiqa-mobile")
        >>> register_scorer(mobile.card, mobile.scorer_class, config=mobile.config, tiny=mobile.tiny)
    """
    old = _ENTRIES.get(card.name)
    if old is not None and old.scorer_class.__qualname__ != scorer_class.__qualname__:
        raise ValueError(f"scorer name {card.name!r} is taken by {old.scorer_class.__qualname__}")
    _ENTRIES[card.name] = ScorerEntry(card, scorer_class, config, tiny, convert, open_file)


def _entries() -> dict[str, ScorerEntry]:
    for package in _PUBLISHED:
        importlib.import_module(f"{__package__}.{package}")
    return _ENTRIES


def entry(name: str) -> ScorerEntry:
    """Returns the registry entry of a scorer; raises ``ValueError`` with the nearest name for an unknown one."""
    entries = _entries()
    if not isinstance(name, str) or name not in entries:
        raise ValueError(unknown_name("scorer", name, sorted(entries)))
    return entries[name]


def list_scorers() -> list[str]:
    """Returns the names of all registered scorers, sorted.

    Example:
        >>> "mdiqa-mobile" in list_scorers()
        True
    """
    return sorted(_entries())
