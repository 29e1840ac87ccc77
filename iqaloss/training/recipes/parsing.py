"""From plain YAML values to checked dataclasses, and from a dotted override to plain values."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from iqaloss._errors import unknown_name

T = TypeVar("T")


def parse(kind: type[T], values: Any, where: str) -> T:
    """Builds a dataclass, nested ones included, from what a YAML file holds.

    Args:
        kind: The dataclass.
        values: A mapping of its fields.
        where: What is read, for messages: ``"recipe"``, say.

    Raises:
        ValueError: For an unknown field (with the nearest valid name), a missing one, or a value of another type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{where} must be a mapping, got {values!r}")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            raise ValueError(f"{where}: {unknown_name('field', name, fields)}")
    hints = typing.get_type_hints(kind)
    found = {name: convert(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    for name, field in fields.items():
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if name not in found and not optional:
            raise ValueError(f"{where} lacks the field {name!r}")
    try:
        return kind(**found)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def convert(hint: Any, value: Any, where: str) -> Any:
    """Checks a value against a type hint; whole numbers and strings such as ``1e-4`` count as numbers."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if dataclasses.is_dataclass(hint):
        return parse(typing.cast(type, hint), value, where)
    if origin is tuple:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"{where} must be a list, got {value!r}")
        fixed = len(arguments) == 2 and arguments[1] is Ellipsis
        kinds = [arguments[0]] * len(value) if fixed else list(arguments)
        if len(kinds) != len(value):
            raise ValueError(f"{where} must be a list of {len(kinds)}, got {value!r}")
        return tuple(convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value)))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be a mapping, got {value!r}")
        return {str(key): convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    return _convert_plain(hint, value, where)


def _convert_union(arguments: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in arguments:
        return None
    problems = []
    for kind in (kind for kind in arguments if kind is not type(None)):
        try:
            return convert(kind, value, where)
        except ValueError as error:
            problems.append(str(error))
    raise ValueError(problems[0] if len(problems) == 1 else "; or ".join(problems))


def _convert_plain(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1e-4 as text
        except ValueError:
            raise ValueError(f"{where} must be a number, got {value!r}") from None
    fits = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    if not fits:
        raise ValueError(f"{where} must be of type {hint.__name__}, got {value!r}")
    return value


def override(values: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Applies changes such as ``"optimiser.lr=1e-4"`` or ``"data.train.0.batch_size=4"`` to a recipe's plain values.

    The right-hand side is read as YAML.

    Raises:
        ValueError: If a change has no ``=`` or its path does not exist.

    Example:
        >>> override({"train": {"steps": 10}}, ["train.steps=20"])
        {'train': {'steps': 20}}
    """
    import copy

    import yaml

    out: Any = copy.deepcopy(dict(values))
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"a change is written as key.key=value, got {change!r}")
        *parents, last = path.strip().split(".")
        place = out
        for key in parents:
            place = _enter(place, key, change)
        new = yaml.safe_load(text)
        if isinstance(place, list):
            place[_position(place, last, change)] = new
        else:
            place[last] = new
    return dict(out)


def _enter(place: Any, key: str, change: str) -> Any:
    if isinstance(place, list):
        return place[_position(place, key, change)]
    if place.get(key) is None:
        place[key] = {}
    if not isinstance(place[key], (dict, list)):
        raise ValueError(f"{change!r}: {key} is {place[key]!r}, which has nothing inside")
    return place[key]


def _position(place: list[Any], key: str, change: str) -> int:
    if not key.isdigit() or int(key) >= len(place):
        raise ValueError(f"{change!r}: {key!r} is no position in a list of {len(place)}")
    return int(key)
