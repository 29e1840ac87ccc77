"""Which scorers there are, and how a name becomes one."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from iqaloss._configs import changed
from iqaloss._errors import missing_package, unknown_name
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.cards import ScorerCard

_BUILT_IN = ("mdiqa", "lar_iqa", "pmt_iqa", "moe_agiqa", "sr_iqa")
"""Modules beside this one that register scorers when imported; importing them loads no heavy package."""

_ENTRIES: dict[str, ScorerEntry] = {}

Weights = str | Path | Mapping[str, Tensor] | None
"""A file or folder, a state dict, or None for random weights."""


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


_DEFAULT = "default"


def create_scorer(name: str, weights: Weights = _DEFAULT, *, frozen: bool | None = None, **options: Any) -> Scorer:
    """Builds a scorer by name.

    Args:
        name: A name out of :func:`list_scorers`.
        weights: ``"default"`` takes the weights inside the package; a path takes a checkpoint made by
            iqaloss, or a folder with the official files; a state dict is loaded strictly; ``None`` leaves
            the weights random. Nothing is ever downloaded.
        frozen: Whether the scorer is frozen and in eval mode. By default it is, unless ``weights`` is None:
            random weights are there to be trained.
        **options: Fields of the scorer's config to change.

    Returns:
        The scorer; call it with float RGB images ``[B, 3, H, W]`` in ``[0, 1]``.

    Raises:
        ValueError: If the name or an option is unknown, or no weights can be had; the message then says which
            file is needed, where it is published, under which licence, and how to pass it.

    Example:
        >>> import torch
        >>> scorer = create_scorer("mdiqa-mobile")
        >>> scorer(torch.rand(1, 3, 64, 64)).score.shape
        torch.Size([1])
    """
    from iqaloss.scorers import checkpoints, official

    item = entry(name)
    _check_packages(item.card)
    if weights is None:
        scorer = build(item, item.config, options)
    elif isinstance(weights, Mapping):
        scorer = build(item, item.config, options)
        checkpoints.load_strict(scorer, weights, source="the given state dict")
    elif weights == _DEFAULT:
        if item.card.embedded is None:
            raise ValueError(item.card.how_to_get_weights())
        path = checkpoints.embedded_path(item.card.embedded)
        scorer = checkpoints.load_own(path, item, options, sha256=item.card.embedded.sha256)
    else:
        scorer = official.load_path(Path(weights), item, options)
    return scorer.freeze() if (weights is not None if frozen is None else frozen) else scorer


def load_official(name: str, parts: Mapping[str, str | Path | Mapping[str, Tensor]], **options: Any) -> Scorer:
    """Builds a scorer from official checkpoint files, strictly.

    Args:
        name: A name out of :func:`list_scorers`.
        parts: Role to state dict or file; the roles stand on the scorer's card. A role that was published as
            several files takes a list of them.
        **options: Fields of the scorer's config that the checkpoint leaves open.

    Returns:
        The scorer, frozen and in eval mode.

    Raises:
        ValueError: If a role is unknown or missing, or a tensor is missing, unexpected or misshapen.

    Example:
        >>> load_official("mdiqa", {"technical": "t.pth", "aesthetic": "a.pth", "fusion": "f.pth"})  # doctest: +SKIP
    """
    from iqaloss.scorers import official

    item = entry(name)
    _check_packages(item.card)
    return official.load_official_parts(item, parts, options).freeze()


def create_tiny(name: str, *, frozen: bool = True) -> Scorer:
    """Builds a small random instance of a scorer's architecture, for tests and quick trials."""
    item = entry(name)
    _check_packages(item.card)
    scorer = build(item, item.tiny, {})
    return scorer.freeze() if frozen else scorer


def build(item: ScorerEntry, config: Any, options: Mapping[str, Any]) -> Scorer:
    """Builds an entry's class with a config, some of its fields changed by options."""
    return item.scorer_class(item.card, changed(config, options, item.card.name))


def _check_packages(card: ScorerCard) -> None:
    for package, extra in card.needs.items():
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, extra, f"the scorer {card.name}")
