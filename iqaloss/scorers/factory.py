"""How a name becomes a scorer, with which weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqaloss._aside import aside
from iqaloss._configs import changed, parse
from iqaloss._errors import missing_package
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.calibration import Calibration, CalibrationConfig
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.checkpoints import embedded_path, made_for, read_own
from iqaloss.scorers.official import OfficialFile, find_official, read_official
from iqaloss.scorers.registry import ScorerEntry, entry
from iqaloss.scorers.state_dicts import load_strict, some

Weights = str | Path | Mapping[str, Tensor] | None
"""A file or folder, a state dict, or None for random weights."""

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
    item = entry(name)
    _check_packages(item.card)
    if weights is None:  # random weights are drawn as every network's are
        with torch.inference_mode(False):
            scorer = build(item, item.config, options)
        return scorer.freeze() if frozen else scorer
    with aside():
        scorer = _with_weights(item, weights, options)
    return scorer if frozen is False else scorer.freeze()


def load_official(name: str, files: Mapping[str, OfficialFile], **options: Any) -> Scorer:
    """Builds a scorer from official checkpoint files, strictly.

    Args:
        name: A name out of :func:`list_scorers`.
        files: Role to file or state dict; the roles stand on the scorer's card. A role that was published as
            several files takes a list of them.
        **options: Fields of the scorer's config that the checkpoint leaves open.

    Returns:
        The scorer, frozen and in eval mode.

    Raises:
        ValueError: If a role or an option is unknown, a role is missing, or a tensor is missing, unexpected or
            misshapen.

    Warns:
        UserWarning: Once for a file that is none of the published ones, where their digests are known.

    Example:
        >>> load_official("mdiqa", {"technical": "t.pth", "aesthetic": "a.pth", "fusion": "f.pth"})  # doctest: +SKIP
    """
    item = entry(name)
    _check_packages(item.card)
    with aside():
        return _convert(item, files, options).freeze()


def create_tiny(name: str, *, frozen: bool = True) -> Scorer:
    """Builds a small random instance of a scorer's architecture, for tests and quick trials."""
    item = entry(name)
    _check_packages(item.card)
    with torch.inference_mode(False):
        scorer = build(item, item.tiny, {})
    return scorer.freeze() if frozen else scorer


def build(item: ScorerEntry, config: Any, options: Mapping[str, Any]) -> Scorer:
    """Builds an entry's class with a config, some of its fields changed by options."""
    return item.scorer_class(item.card, changed(config, options, item.card.name))


def _with_weights(item: ScorerEntry, weights: str | Path | Mapping[str, Tensor], options: Mapping[str, Any]) -> Scorer:
    if isinstance(weights, Mapping):
        scorer = build(item, item.config, options)
        load_strict(scorer, weights, source="the given state dict")
        return scorer
    if weights == _DEFAULT:
        if item.card.embedded is None:
            raise ValueError(item.card.how_to_get_weights())
        return _load_own(embedded_path(item.card.embedded), item, options, sha256=item.card.embedded.sha256)
    return _load_path(Path(weights), item, options)


def _load_own(path: Path, item: ScorerEntry, options: Mapping[str, Any], *, sha256: str | None = None) -> Scorer:
    """Builds a scorer from one of our files."""
    own = read_own(path, item.card.name, item.scorer_class.config_class, sha256=sha256)
    scorer = build(item, own.config, options)
    if own.calibration is not None:
        scorer.calibration = Calibration(parse(CalibrationConfig, own.calibration, f"the calibration in {path}"))
    load_strict(scorer, own.state, source=str(path))
    return scorer


def _load_path(path: Path, item: ScorerEntry, options: Mapping[str, Any]) -> Scorer:
    """Builds a scorer from one of our files, or from a folder with ours or the official files."""
    card = item.card
    if path.is_dir():
        own = [file for file in sorted(path.iterdir()) if made_for(file) == card.name]
        if len(own) > 1:
            raise ValueError(f"{path} holds several checkpoints of {card.name}: {some(file.name for file in own)}")
        return _load_own(own[0], item, options) if own else _convert(item, find_official(path, card), options)
    if made_for(path) is not None:
        return _load_own(path, item, options)
    if not path.is_file():
        raise FileNotFoundError(f"weights={str(path)!r}: no such file or folder.\n{card.how_to_get_weights()}")
    needed = [file.role for file in card.files if not file.optional]
    if len(needed) == 1:
        return _convert(item, {needed[0]: path}, options)
    raise ValueError(f"{path} was not written by iqaloss.\n{card.how_to_get_weights()}")


def _convert(item: ScorerEntry, files: Mapping[str, OfficialFile], options: Mapping[str, Any]) -> Scorer:
    """Builds a scorer from its official files."""
    if item.convert is None:
        raise ValueError(f"{item.card.name} has no official files; pass weights=<file made by iqaloss>")
    return item.convert(item.scorer_class, item.card, read_official(item.card, files, item.open_file), **options)


def _check_packages(card: ScorerCard) -> None:
    for package, extra in card.needs.items():
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, extra, f"the scorer {card.name}")
