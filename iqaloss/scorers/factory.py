"""How a name becomes a scorer, with which weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqaloss._aside import aside
from iqaloss._configs import changed, check_counts, parse
from iqaloss._errors import missing_package, shown
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.calibration import Calibration, CalibrationConfig
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.checkpoints import check_sizes, embedded_path, made_for, read_own
from iqaloss.scorers.layers.wordpiece import ReadsPrompts, WordPiece
from iqaloss.scorers.official import OfficialFile, find_official, read_official
from iqaloss.scorers.registry import ScorerEntry, entry
from iqaloss.scorers.state_dicts import check_fit, load_strict, some
from iqaloss.scorers.unbuilt import without_memory

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
    """Builds an entry's class with a config, some of its fields changed by options.

    Raises:
        ValueError: If an option is unknown or of a wrong kind, or no network can be built with it.
    """
    name = item.card.name
    ready = changed(config, options, name)
    check_counts(ready, name)
    try:
        return item.scorer_class(item.card, ready)
    except (NotImplementedError, ImportError):
        raise
    except (TypeError, RuntimeError, LookupError, ArithmeticError, AssertionError, ValueError) as error:
        if not options:
            raise
        given = ", ".join(f"{key}={shown(value)}" for key, value in options.items())
        raise ValueError(f"{name} cannot be built with {given}: {str(error).partition(chr(10))[0]}") from error


def _with_weights(item: ScorerEntry, weights: str | Path | Mapping[str, Tensor], options: Mapping[str, Any]) -> Scorer:
    if isinstance(weights, Mapping):
        scorer = build(item, item.config, options)
        load_strict(scorer, weights, source="the given state dict")
        return scorer
    if isinstance(weights, str) and weights == _DEFAULT:
        if item.card.embedded is None:
            raise ValueError(item.card.how_to_get_weights())
        return _load_own(embedded_path(item.card.embedded), item, options, sha256=item.card.embedded.sha256)
    if not isinstance(weights, (str, Path)) or not str(weights):
        raise TypeError(f"weights must be a file, a folder, a state dict, None or {_DEFAULT!r}, got {shown(weights)}")
    return _load_path(Path(weights), item, options)


def _load_own(path: Path, item: ScorerEntry, options: Mapping[str, Any], *, sha256: str | None = None) -> Scorer:
    """Builds a scorer from one of our files."""
    own = read_own(path, item.card.name, item.scorer_class.config_class, sha256=sha256)
    calibration = None
    if own.calibration is not None:
        calibration = parse(CalibrationConfig, own.calibration, f"the calibration in {path}")
        check_sizes(calibration, own.state, f"the calibration in {path}")

    def built() -> Scorer:
        scorer = build(item, own.config, options)
        if calibration is not None:
            scorer.calibration = Calibration(calibration)
        return scorer

    if sha256 is None:
        _compare_unbuilt(built, own.state, str(path))
    scorer = built()
    load_strict(scorer, own.state, source=str(path))
    if own.vocabulary is not None and isinstance(scorer, ReadsPrompts):
        scorer.use_tokenizer(WordPiece(list(own.vocabulary)))
    return scorer


def _compare_unbuilt(built: Callable[[], Scorer], state: Mapping[str, Tensor], source: str) -> None:
    """Compares a file's tensors with those of its scorer before these take any memory."""
    try:
        with without_memory():
            scorer = built()
    except (NotImplementedError, ImportError):  # a library that reads its own tensors: what it builds has one size
        return
    except (ValueError, TypeError, RuntimeError, KeyError, IndexError, ArithmeticError, AssertionError) as error:
        raise ValueError(f"no scorer can be built as the config in {source} says: {error}") from error
    check_fit(scorer, state, source=source)


def _load_path(path: Path, item: ScorerEntry, options: Mapping[str, Any]) -> Scorer:
    """Builds a scorer from one of our files, or from a folder with ours or the official files."""
    card = item.card
    if path.is_dir():
        own = [file for file in sorted(path.iterdir()) if made_for(file) == card.name]
        if len(own) > 1:
            raise ValueError(f"{path} holds several checkpoints of {card.name}: {some(file.name for file in own)}")
        if not own and item.convert is None:
            raise ValueError(f"the folder {path} holds no checkpoint of {card.name}, a .safetensors file")
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
