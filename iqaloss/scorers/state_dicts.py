"""State dicts: read without running code, opened, renamed and loaded strictly."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss._errors import shown

StateDict = Mapping[str, Tensor]
_WRAPPERS = ("params_ema", "params", "state_dict", "model")
_COUNTER = re.compile(r"(^|\.)num_batches_tracked$")


# --- reading -------------------------------------------------------------------------------------


def read_file(path: str | Path) -> Any:
    """Reads a ``.safetensors`` file or a ``torch.save`` file of tensors and plain values.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is corrupt or holds anything else; the message names it.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a checkpoint file")
    if not path.is_file():
        raise FileNotFoundError(f"no such checkpoint file: {path}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return _load(path)
    except Exception as error:
        raise ValueError(f"cannot read the checkpoint {path} ({path.stat().st_size} bytes): {error}") from error


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # Training loops keep their results beside the weights, as numpy's numbers.
        with torch.serialization.safe_globals(_number_types()):
            return torch.load(path, map_location="cpu", weights_only=True)


def _number_types() -> list[Any]:
    """What numpy's numbers are made of, under the names of numpy 1 and 2."""
    import numpy

    scalar = numpy.float64(0).__reduce__()[0]
    both = [(scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    return [*both, numpy.dtype, *(type(numpy.dtype(name)) for name in ("float64", "float32", "int64"))]


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
    for key in _WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
            break
    if not isinstance(loaded, Mapping) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ValueError(f"{source} holds no state dict (a mapping of names to tensors)")
    for name in loaded:
        if not isinstance(name, str):
            raise ValueError(f"{source} holds no state dict: its tensors have names such as {name!r}")
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


# --- renaming ------------------------------------------------------------------------------------


def without_counters(state: StateDict) -> dict[str, Tensor]:
    """Leaves out the counters of seen batches, which no fixed network reads."""
    return {key: value for key, value in state.items() if not _COUNTER.search(key)}


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
    for key, value in without_counters(state).items():
        if any(re.match(pattern, key) for pattern in dropped):
            continue
        for pattern, replacement in table:
            new, count = re.subn("^" + pattern, replacement, key)
            if count:
                key = new
                break
        out[key] = value
    return out


# --- loading -------------------------------------------------------------------------------------


def load_strict(module: nn.Module, state: StateDict, *, source: str) -> None:
    """Loads a state dict; every tensor must be there, be known, have the right shape and hold finite numbers.

    Floating tensors are cast to the module's dtype; counters of seen batches are left out on both sides.

    Raises:
        ValueError: With the names of the tensors that are missing, unexpected, misshapen or not finite.
    """
    if odd := next((key for key in state if not isinstance(key, str)), None):
        raise ValueError(f"{source} names tensors by text, got the key {shown(odd)}")
    check_fit(module, state, source=source)
    given = without_counters(state)
    real = {key: value for key, value in given.items() if value.is_floating_point() and not value.is_meta}
    spoilt = [key for key, value in real.items() if not bool(value.isfinite().all())]
    if spoilt:
        raise ValueError(f"{source} holds NaN or infinite weights: {some(spoilt)}")
    module.load_state_dict(given, strict=False)


def check_fit(module: nn.Module, state: StateDict, *, source: str) -> None:
    """Compares names, shapes and kinds of tensors with a module's, whose own may have no values (``meta``).

    Raises:
        ValueError: With the names of the tensors that do not fit.
    """
    own, given = without_counters(module.state_dict()), without_counters(state)
    problems = [f"missing: {some(own.keys() - given.keys())}"] if own.keys() - given.keys() else []
    if given.keys() - own.keys():
        problems.append(f"unexpected: {some(given.keys() - own.keys())}")
    both = sorted(own.keys() & given.keys())
    wrong = [
        f"{key} has shape {list(given[key].shape)}, expected {list(own[key].shape)}"
        for key in both
        if own[key].shape != given[key].shape
    ]
    if wrong:
        problems.append(f"misshapen: {some(wrong)}")
    kinds = [
        f"{key} holds {given[key].dtype}, expected {own[key].dtype}"
        for key in both
        if own[key].is_floating_point() != given[key].is_floating_point()
    ]
    if kinds:
        problems.append(f"of another kind: {some(kinds)}")
    if problems:
        raise ValueError(f"{source} does not fit {type(module).__name__}: " + "; ".join(problems))


def load_prefixed(module: nn.Module, state: StateDict, table: Sequence[tuple[str, str]], *, source: str) -> None:
    """Loads a state dict strictly, with its prefixes exchanged; errors name the tensors as the file does.

    Args:
        module: What to load into.
        state: The state dict as published.
        table: Pairs of a published prefix and ours; the first that fits a key is taken.
        source: What the state dict is, for the error.

    Raises:
        ValueError: With the published names of the missing, unexpected and misshapen tensors.
    """
    renamed = rename_keys(state, [(re.escape(official), ours) for official, ours in table])
    try:
        load_strict(module, renamed, source=source)
    except ValueError as error:
        message = str(error)
        # Longer prefixes first: one of ours may begin with another of ours.
        for official, ours in sorted(table, key=lambda pair: -len(pair[1])):
            message = re.sub(rf"(?<![\w.]){re.escape(ours)}", official, message)
        raise ValueError(message) from None


def some(names: Iterable[str], most: int = 5) -> str:
    """Returns the first names in order, and how many more there are."""
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(ordered[:most]) + more
