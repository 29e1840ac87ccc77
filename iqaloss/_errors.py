"""Error messages that say what was given, what is allowed and what was probably meant."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
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
    near = difflib.get_close_matches(str(given).lower(), by_lower, n=1, cutoff=0.5)
    hint = f"; did you mean {by_lower[near[0]]!r}?" if near else "."
    return f"unknown {kind} {given!r}{hint} Valid: {', '.join(names) or '(none)'}"


def check_choice(kind: str, given: str, allowed: Iterable[str]) -> str:
    """Returns ``given`` when it is allowed and raises ``ValueError`` with the nearest valid name otherwise."""
    names = list(allowed)
    if given not in names:
        raise ValueError(unknown_name(kind, given, names))
    return given


def check_device(name: str) -> str:
    """Returns ``name`` when tensors can be made on that device and raises ``ValueError`` otherwise."""
    import torch

    try:
        torch.empty(0, device=name)
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
