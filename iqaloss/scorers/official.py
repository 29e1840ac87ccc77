"""Weights that a path names: our own file, or the official files of a scorer, found by their published names."""

from __future__ import annotations

import fnmatch
import functools
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from iqaloss._errors import unknown_name
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.cards import WeightFile
from iqaloss.scorers.checkpoints import StateDict, load_own, read_metadata, some, unwrap
from iqaloss.scorers.reading import read_file

if typing.TYPE_CHECKING:
    from iqaloss.scorers.registry import ScorerEntry

Part = str | Path | StateDict | Sequence[str | Path | StateDict]


def load_path(path: Path, item: ScorerEntry, options: Mapping[str, Any]) -> Scorer:
    """Builds a scorer from one of our files, or from a folder with ours or the official files."""
    if path.is_dir():
        own = [file for file in sorted(path.glob("*.safetensors")) if "iqaloss.scorer" in read_metadata(file)]
        mine = [file for file in own if read_metadata(file)["iqaloss.scorer"] == item.card.name]
        if len(mine) > 1:
            raise ValueError(f"{path} holds several checkpoints of {item.card.name}: {some(f.name for f in mine)}")
        if mine:
            return load_own(mine[0], item, options)
        return load_official_parts(item, find_official(path, item.card.files, item.card.how_to_get_weights()), options)
    if path.suffix == ".safetensors" and path.is_file() and "iqaloss.scorer" in read_metadata(path):
        return load_own(path, item, options)
    if not path.is_file():
        raise FileNotFoundError(f"weights={str(path)!r}: no such file or folder.\n{item.card.how_to_get_weights()}")
    needed = [file.role for file in item.card.files if not file.optional]
    if len(needed) == 1:
        return load_official_parts(item, {needed[0]: path}, options)
    raise ValueError(f"{path} was not written by iqaloss.\n{item.card.how_to_get_weights()}")


def find_official(folder: Path, files: Sequence[WeightFile], how: str) -> dict[str, Part]:
    """Finds the official files of each role in a folder by their published names.

    Raises:
        ValueError: If a needed file is missing or a name fits several files.
    """
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    found: dict[str, Part] = {}
    for file in files:
        matches = [[name for name in names if fnmatch.fnmatch(name, pattern)] for pattern in file.patterns]
        if all(not group for group in matches) and file.optional:
            continue
        for pattern, group in zip(file.patterns, matches):
            if not group:
                raise ValueError(f"{folder} has no file {pattern!r} (role {file.role!r}).\n{how}")
            if len(group) > 1:
                raise ValueError(f"{folder} has several files for {pattern!r}: {some(group)}; use load_official")
        paths = [folder / group[0] for group in matches]
        found[file.role] = paths[0] if len(paths) == 1 else paths
    return found


def load_official_parts(item: ScorerEntry, parts: Mapping[str, Part], options: Mapping[str, Any]) -> Scorer:
    """Builds a scorer from official parts, after checking the roles."""
    card = item.card
    roles = [file.role for file in card.files]
    for role in parts:
        if role not in roles:
            raise ValueError(f"{card.name}: {unknown_name('role', role, roles)}")
    missing = [file.role for file in card.files if not file.optional and file.role not in parts]
    if missing:
        raise ValueError(f"{card.name}: no weights for role {', '.join(missing)}.\n{card.how_to_get_weights()}")
    states = {
        role: _read_part(part, functools.partial(item.scorer_class.open_official, role)) for role, part in parts.items()
    }
    return item.scorer_class.from_official(card, states, **options)


def _read_part(part: Part, opener: Callable[[Any], Any]) -> dict[str, Tensor]:
    if isinstance(part, (str, Path)):
        return unwrap(opener(read_file(part)), str(part))
    if isinstance(part, Mapping):
        return unwrap(opener(part), "the given state dict")
    # Several files that make up one role keep their order in the key: the model's table joins them.
    joined = {}
    for index, file in enumerate(part):
        joined.update({f"{index}:{key}": value for key, value in _read_part(file, opener).items()})
    return joined
