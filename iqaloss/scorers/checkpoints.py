"""Read, verify, convert and write state dicts and our own checkpoints; official files are in :mod:`official`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss._configs import parse
from iqaloss._files import replacing
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.cards import EmbeddedFile
from iqaloss.scorers.reading import read_file

if typing.TYPE_CHECKING:
    from iqaloss.scorers.registry import ScorerEntry

StateDict = Mapping[str, Tensor]
FORMAT = "1"
_UNUSED = re.compile(r"(^|\.)num_batches_tracked$")


# --- reading -------------------------------------------------------------------------------------


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Reads a state dict from a ``.safetensors`` file or a ``torch.save`` file, without running code in it.

    The wrappers ``params_ema``, ``params``, ``state_dict`` and ``model`` are opened and the prefix
    ``module.`` of data-parallel training is taken off.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is corrupt or holds no state dict; the message names it.
    """
    return unwrap(read_file(path), str(path))


def unwrap(loaded: Any, source: str) -> dict[str, Tensor]:
    """Returns the plain state dict inside what a file holds."""
    for key in ("params_ema", "params", "state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"{source} holds no state dict (a mapping of names to tensors)")
    return {name.removeprefix("module."): value for name, value in loaded.items()}


def sha256_of(path: str | Path) -> str:
    """Returns the SHA-256 digest of a file, in hexadecimal."""
    with open(path, "rb") as file:
        if hasattr(hashlib, "file_digest"):
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha256()
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
        return digest.hexdigest()


def rename_keys(state: StateDict, table: Sequence[tuple[str, str]], dropped: Sequence[str] = ()) -> dict[str, Tensor]:
    """Renames keys by a table of (pattern, replacement) pairs; the first pattern that matches at the start wins.

    Args:
        state: The official state dict.
        table: Regular expressions and what they are replaced by.
        dropped: Regular expressions of official tensors that are known to have no effect.

    Returns:
        The converted state dict; keys that no pattern matches stay as they are, so that a strict load names them.
    """
    out = {}
    for key, value in state.items():
        if _UNUSED.search(key) or any(re.match(pattern, key) for pattern in dropped):
            continue
        for pattern, replacement in table:
            new, count = re.subn("^" + pattern, replacement, key)
            if count:
                key = new
                break
        out[key] = value
    return out


def load_strict(module: nn.Module, state: StateDict, *, source: str) -> None:
    """Loads a state dict; every tensor must be there, be known and have the right shape.

    Floating tensors are cast to the module's dtype; counters of seen batches are left out on both sides.

    Raises:
        ValueError: With the names of the missing, unexpected and misshapen tensors.
    """
    own = {key: value for key, value in module.state_dict().items() if not _UNUSED.search(key)}
    given = {key: value for key, value in state.items() if not _UNUSED.search(key)}
    problems = [f"missing: {some(own.keys() - given.keys())}"] if own.keys() - given.keys() else []
    if given.keys() - own.keys():
        problems.append(f"unexpected: {some(given.keys() - own.keys())}")
    wrong = [
        f"{key} has shape {list(given[key].shape)}, expected {list(own[key].shape)}"
        for key in sorted(own.keys() & given.keys())
        if own[key].shape != given[key].shape
    ]
    if wrong:
        problems.append(f"misshapen: {some(wrong)}")
    if problems:
        raise ValueError(f"{source} does not fit {type(module).__name__}: " + "; ".join(problems))
    module.load_state_dict(dict(given), strict=False)


def some(names: Iterable[str], most: int = 5) -> str:
    """Returns the first names in order, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more


# --- our own format ------------------------------------------------------------------------------


def save(scorer: Scorer, path: str | Path, *, dtype: torch.dtype | None = None, **notes: str) -> Path:
    """Writes a scorer's weights and config to a safetensors file, through a temporary file and a rename.

    Args:
        scorer: The scorer to write.
        path: The file to write, ending in ``.safetensors``.
        dtype: Storage type of floating tensors; their own by default.
        **notes: Further text to store with it, such as the data it was trained on.

    Example:
        >>> save(create_scorer("mdiqa-mobile"), "mine.safetensors")  # doctest: +SKIP
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"a scorer is saved as .safetensors, got {path.name!r}")
    if scorer.folded:
        raise ValueError(f"this {scorer.card.name} is folded: its weights have other names; save it before fold()")
    tensors = {
        key: (value.to(dtype) if dtype is not None and value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in scorer.state_dict().items()
        if not _UNUSED.search(key)
    }
    metadata = {
        **notes,
        "iqaloss.format": FORMAT,
        "iqaloss.scorer": scorer.card.name,
        "iqaloss.config": json.dumps(dataclasses.asdict(scorer.config)),
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
        _sort_metadata(temporary)
    return path


def _sort_metadata(path: Path) -> None:
    """Puts a safetensors file's metadata in order: the library's own, and so the digest, changes from run to run."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        written = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
        if len(written) != size:
            raise ValueError(f"the header of {path} has {size} bytes, {len(written)} when its metadata are in order")
        file.seek(8)
        file.write(written)


def read_metadata(path: str | Path) -> dict[str, str]:
    """Returns the text stored beside the tensors of a safetensors file; empty if there is none."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except Exception as error:
        raise ValueError(f"cannot read the checkpoint {path}: {error}") from error


def load_own(path: Path, item: ScorerEntry, options: Mapping[str, Any], *, sha256: str | None = None) -> Scorer:
    """Builds a scorer from a file written by :func:`save`; checks the digest when one is given."""
    from iqaloss.scorers.factory import build

    if not path.is_file():
        raise FileNotFoundError(f"no such checkpoint file: {path}")
    if sha256 is not None and sha256_of(path) != sha256:
        raise ValueError(f"{path} is corrupt: its sha256 is {sha256_of(path)}, expected {sha256}")
    metadata = read_metadata(path)
    if "iqaloss.scorer" not in metadata:
        raise ValueError(f"{path} was not written by iqaloss; for official files see load_official")
    if metadata.get("iqaloss.format") != FORMAT:
        raise ValueError(f"{path} has format {metadata.get('iqaloss.format')!r}; this version reads {FORMAT!r}")
    made_by = metadata["iqaloss.scorer"]
    if made_by != item.card.name:
        raise ValueError(f'{path} holds a {made_by!r}, not a {item.card.name!r}: create_scorer("{made_by}", weights=…)')
    config = parse(item.scorer_class.config_class, json.loads(metadata["iqaloss.config"]), f"the config in {path}")
    scorer = build(item, config, options)
    load_strict(scorer, read_state_dict(path), source=str(path))
    return scorer


def embedded_path(file: EmbeddedFile) -> Path:
    """Returns the path of a checkpoint inside the package."""
    return Path(__file__).parent / "weights" / file.filename
