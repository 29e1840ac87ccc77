"""Error messages that say what was given, what is allowed and what was probably meant."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def unknown_name(kind: str, given: object, allowed: Iterable[str]) -> str:
    """Returns the message for a name that is not among the allowed ones.

    Args:
        kind: What the name stands for, such as ``"dimension"``.
        given: The name as the user wrote it.
        allowed: Every valid name.

    Example:
        >>> unknown_name("dimension", "sharpnes", ["noisiness", "sharpness"])
        "unknown dimension 'sharpnes'; did you mean 'sharpness'? Valid: noisiness, sharpness"
    """
    names = list(allowed)
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(shown(given).strip("'").lower(), by_lower, n=1, cutoff=0.5)
    hint = f"; did you mean {by_lower[near[0]]!r}?" if near else "."
    return f"unknown {kind} {shown(given)}{hint} Valid: {', '.join(names) or '(none)'}"


def shown(value: object, most: int = 80) -> str:
    """Returns how a value is shown in a message: not longer than a line, also where Python refuses to print it.

    Example:
        >>> shown("a" * 100, 12), shown(10**5000)
        ("'aaaaaaa ...", 'a number of more than 4300 digits')
    """
    try:
        text = repr(value)
    except ValueError:  # Python prints no longer numbers
        return "a number of more than 4300 digits"
    return text if len(text) <= most else f"{text[: most - 4]} ..."


def check_choice(kind: str, given: str, allowed: Iterable[str]) -> str:
    """Returns ``given`` when it is allowed and raises ``ValueError`` with the nearest valid name otherwise."""
    names = list(allowed)
    if not isinstance(given, str) or given not in names:
        raise ValueError(unknown_name(kind, given, names))
    return given


def check_number(
    name: str,
    given: float | None,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> None:
    """Raises ``ValueError`` for a number that is not finite or lies outside its bounds; None is no number.

    Args:
        name: What it is.
        given: The number.
        least: Smallest allowed value.
        above: What it must be larger than.
        most: Largest allowed value.
        below: What it must be smaller than.

    Example:
        >>> check_number("lr", -1.0, above=0.0)
        Traceback (most recent call last):
        ValueError: lr must be above 0.0, got -1.0
    """
    if given is None:
        return
    held = (
        abs(given) < float("inf")
        and (least is None or given >= least)
        and (above is None or given > above)
        and (most is None or given <= most)
        and (below is None or given < below)
    )
    if not held:
        bounds = {"at least": least, "above": above, "at most": most, "below": below}
        said = " and ".join(f"{word} {bound}" for word, bound in bounds.items() if bound is not None)
        raise ValueError(f"{name} must be {said}, got {shown(given)}")


def check_kinds(given: Mapping[str, object], kinds: Mapping[str, tuple[type, ...]]) -> None:
    """Raises ``TypeError`` for the first argument of another kind; one that is None was not given.

    Args:
        given: Arguments by name.
        kinds: The kinds of each; what a list or tuple holds is text.

    Example:
        >>> check_kinds({"splits": "train"}, {"splits": (list, tuple)})
        Traceback (most recent call last):
        TypeError: splits must be of type list or tuple, got 'train'
    """
    for name, allowed in kinds.items():
        value = given.get(name)
        if value is not None and not isinstance(value, allowed):
            kind = " or ".join(each.__name__ for each in allowed)
            raise TypeError(f"{name} must be of type {kind}, got {shown(value)}")
        if isinstance(value, (list, tuple)) and not all(isinstance(each, str) for each in value):
            raise TypeError(f"{name} must hold text alone, got {shown(value)}")


def path_of(name: str, value: object) -> Path:
    """Returns a path; raises ``TypeError`` for what names no file, ``ValueError`` for what no file can be called."""
    if not isinstance(value, (str, Path)):
        raise TypeError(f"{name} must be the path of a file or folder, got {shown(value)}")
    if not str(value) or "\0" in str(value):
        raise ValueError(f"{name} must be the path of a file or folder, got {shown(value)}")
    return Path(value)


def check_device(name: str) -> str:
    """Returns ``name`` when tensors can be made on that device and raises ``ValueError`` otherwise."""
    import torch

    try:
        if torch.empty(0, device=name).is_meta or not name:
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError) as error:  # a build without CUDA asserts
        kinds = {"cuda": torch.cuda, "xpu": torch.xpu, "mps": torch.backends.mps}
        usable = ["cpu", *(kind for kind, backend in kinds.items() if backend.is_available())]
        why = str(error).splitlines()[0].rstrip(".")
        raise ValueError(f"device {name!r} cannot be used: {why}. Usable here: {', '.join(usable)}") from error
    return name


def missing_package(package: str, extra: str, purpose: str) -> ImportError:
    """Returns the error for an optional package that is not installed."""
    return ImportError(f"{purpose} needs the package {package!r}: pip install 'iqaloss[{extra}]'")


def optional(module: str, package: str, extra: str, purpose: str) -> Any:
    """Imports a module of an optional package; raises ``ImportError`` that says how to get it where it is missing.

    Example:
        >>> optional("json", "json", "cli", "printing results").dumps({})
        '{}'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise missing_package(package, extra, purpose) from error
