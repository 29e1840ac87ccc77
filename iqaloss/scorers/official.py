"""The official files of a scorer: found by their published names, compared with their digests, and read."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from iqaloss._configs import check_options
from iqaloss._errors import shown
from iqaloss.scorers.cards import ScorerCard, WeightFile
from iqaloss.scorers.state_dicts import StateDict, read_file, sha256_of, some, unwrap

OfficialFile = str | Path | StateDict | Sequence[str | Path | StateDict]
"""A file, a state dict, or several that make up one role, in order."""

OpenFile = Callable[[str, Any], Any]
"""Takes a role and what a file for it holds, and returns the state dict inside."""

_TOLD: set[str] = set()
"""Digests of unknown files that were warned of."""


def find_official(folder: Path, card: ScorerCard) -> dict[str, OfficialFile]:
    """Finds the official files of each role in a folder by their published names.

    Raises:
        ValueError: If a needed file is missing or a name fits several files.
    """
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    found: dict[str, OfficialFile] = {}
    for file in card.files:
        matches = [[name for name in names if fnmatch.fnmatch(name, pattern)] for pattern in file.patterns]
        if all(not group for group in matches) and file.optional:
            continue
        for pattern, group in zip(file.patterns, matches):
            if not group:
                raise ValueError(f"{folder} has no file {pattern!r} (role {file.role!r}).\n{card.how_to_get_weights()}")
            if len(group) > 1:
                raise ValueError(f"{folder} has several files for {pattern!r}: {some(group)}; use load_official")
        paths = [folder / group[0] for group in matches]
        found[file.role] = paths[0] if len(paths) == 1 else paths
    return found


def read_official(
    card: ScorerCard, files: Mapping[str, OfficialFile], open_file: OpenFile | None
) -> dict[str, dict[str, Tensor]]:
    """Returns the state dict of each role, with the official names.

    Args:
        card: The scorer's card.
        files: Role to what was given for it.
        open_file: Opens files that are wrapped in a way of their own; None where there are none.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If a role is unknown or missing, or a file holds no state dict.
    """
    known = {file.role: file for file in card.files}
    check_options(files, known, card.name, "role")
    missing = [role for role, file in known.items() if not file.optional and role not in files]
    if missing:
        raise ValueError(f"{card.name}: no weights for role {', '.join(missing)}.\n{card.how_to_get_weights()}")
    return {role: _read(given, known[role], open_file) for role, given in files.items()}


def _read(given: OfficialFile, file: WeightFile, open_file: OpenFile | None) -> dict[str, Tensor]:
    if isinstance(given, (str, Path)):
        loaded, source = read_file(given), str(given)
        _compare(Path(given), file)
    elif isinstance(given, Mapping):
        loaded, source = given, "the given state dict"
    elif isinstance(given, Tensor) or not isinstance(given, Iterable):
        raise TypeError(f"the role {file.role} takes a file, a state dict or a list of them, got {shown(given)}")
    else:
        # Several files that make up one role keep their order in the key: the model's table joins them.
        return {
            f"{index}:{key}": value
            for index, each in enumerate(given)
            for key, value in _read(each, file, open_file).items()
        }
    return unwrap(loaded if open_file is None else open_file(file.role, loaded), source)


def _compare(path: Path, file: WeightFile) -> None:
    """Warns, once for each file, of one that is none of the published ones: it may be retrained, or damaged."""
    if not file.sha256:
        return
    digest = sha256_of(path)
    if digest not in file.sha256 and digest not in _TOLD:
        _TOLD.add(digest)
        warnings.warn(
            f"{path} is none of the {len(file.sha256)} published files of role {file.role!r} (its sha256 begins with "
            f"{digest[:12]}): fine for weights that were trained again, otherwise get it from {file.published_at}",
            UserWarning,
            stacklevel=2,
        )
