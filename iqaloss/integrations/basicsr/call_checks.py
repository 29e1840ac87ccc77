"""Finds what is wrong with mappings that BasicSR turns into calls: networks, losses, metrics, schedulers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

from iqaloss._errors import shown, unknown_name
from iqaloss.integrations.basicsr.kinds import Check, flag, real, several, whole, word
from iqaloss.scorers.unbuilt import without_memory

_COUNT = re.compile(r"num_\w+|\w+_ch|upscale|crop_border")
"""Arguments that are whole numbers, as their default, which may be one where any number will do, does not say."""
_MOST = 2**14
_HANDED_IN = {"img", "img2", "optimizer", "params", "self"}
_OF_VALUES = (TypeError, ValueError, ArithmeticError, AssertionError, LookupError, AttributeError)
_OF_NO_MEMORY = ("meta", "incompatible tensor type")
"""Words of errors that a right network meets too where its tensors have no values."""


def names_in(registry: Any) -> list[str]:
    """Returns the names under which things can be built from a BasicSR registry."""
    return sorted({key.removesuffix("_basicsr") for key in registry.keys()} | set(registry.keys()))  # noqa: SIM118


def entry_of(registry: Any, name: str) -> Any:
    """Returns what is registered under one of :func:`names_in`."""
    entries = dict(iter(registry))
    return entries.get(name) or entries.get(f"{name}_basicsr")


def check_call(place: str, options: Mapping[str, Any], registry: Any, kind: str, build: bool = False) -> Iterable[str]:
    """Yields what is wrong with a mapping: its ``type`` is registered, and takes the other keys and their values.

    Args:
        place: Where in the recipe it stands.
        options: The mapping.
        registry: BasicSR's registry.
        kind: What the registry holds.
        build: Whether to build it too, without memory for its weights, where it is BasicSR's own.
    """
    name = options.get("type")
    if not isinstance(name, str) or name not in names_in(registry):
        yield f"{place}: {unknown_name(kind, name, names_in(registry))}"
        return
    found = entry_of(registry, name)
    given = {key: value for key, value in options.items() if key != "type"}
    problems = list(check_arguments(place, given, found))
    yield from problems
    if build and not problems and found.__module__.startswith("basicsr."):
        yield from _check_built(place, given, found)


def check_arguments(place: str, given: Mapping[Any, Any], call: Any) -> Iterable[str]:
    """Yields arguments that a call does not take, that it misses, and whose kind is not that of their default."""
    parameters = inspect.signature(call).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key in given:
        if key not in parameters and not takes_all:
            yield f"{place}: {unknown_name('option', key, parameters)}"
    for name, parameter in parameters.items():
        if name in _HANDED_IN or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if name not in given:
            if parameter.default is parameter.empty:
                yield f"{place}.{name} is missing"
            continue
        said = _like(name, parameter.default)(given[name])
        if said:
            yield f"{place}.{name} must be {said}, got {shown(given[name])}"


def _like(name: str, default: Any) -> Check:
    """The kind that an argument has by its name, or that its default's own value has."""
    if isinstance(default, bool):
        return flag
    if _COUNT.fullmatch(name):
        return whole(0, _MOST)
    if isinstance(default, (int, float)):
        return real(-1e12, 1e12)
    if isinstance(default, str):
        return word
    if isinstance(default, (list, tuple)) and default:
        return several(_like("", default[0]))
    return lambda value: None


def _check_built(place: str, given: Mapping[str, Any], call: Any) -> Iterable[str]:
    try:
        with without_memory():
            call(**given)
    except (RuntimeError, *_OF_VALUES) as error:
        if not any(words in str(error).lower() for words in _OF_NO_MEMORY):
            yield f"{place}: {type(error).__name__}: {error}".rstrip(": ").partition("\n")[0]
