"""From plain values, as YAML and JSON hold them, to checked dataclasses, and changes to these."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from iqaloss._errors import check_number, shown, unknown_name

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
        raise ValueError(f"{where} must be a mapping, got {shown(values)}")
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}  # type: ignore[arg-type]
    check_options(values, fields, where, "field")
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
        return value if isinstance(value, typing.cast(type, hint)) else parse(typing.cast(type, hint), value, where)
    if origin is tuple:
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            raise ValueError(f"{where} must be a list, got {shown(value)}")
        fixed = len(arguments) == 2 and arguments[1] is Ellipsis
        kinds = [arguments[0]] * len(value) if fixed else list(arguments)
        if len(kinds) != len(value):
            raise ValueError(f"{where} must be a list of {len(kinds)}, got {shown(value)}")
        return tuple(convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value)))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be a mapping, got {shown(value)}")
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
            number = float(value)  # YAML reads 1e-4 as text
        except (ValueError, OverflowError):
            raise ValueError(f"{where} must be a number, got {shown(value)}") from None
        if not math.isfinite(number):
            raise ValueError(f"{where} must be a finite number, got {shown(value)}")
        return number
    fits = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    if not fits:
        raise ValueError(f"{where} must be of type {hint.__name__}, got {shown(value)}")
    return value


def check_options(given: Iterable[str], allowed: Iterable[str], where: str, kind: str = "option") -> None:
    """Raises ``ValueError`` for the first name that is not allowed, with the nearest one that is.

    Args:
        given: Names as the user wrote them.
        allowed: Every valid name.
        where: What they are given to, for the message.
        kind: What the names stand for.

    Example:
        >>> check_options(["widht"], ["width"], "mdiqa")
        Traceback (most recent call last):
        ValueError: mdiqa: unknown option 'widht'; did you mean 'width'? Valid: width
    """
    names = list(allowed)
    for name in given:
        if name not in names:
            raise ValueError(f"{where}: {unknown_name(kind, name, names)}")


def check_counts(config: Any, where: str) -> None:
    """Raises ``ValueError`` for a whole number in a dataclass, or in one inside it, that counts nothing in memory.

    Example:
        >>> from iqaloss.scorers.registry import entry
        >>> check_counts(changed(entry("pmt-iqa").config, {"width": -1}, "pmt-iqa"), "pmt-iqa")
        Traceback (most recent call last):
        ValueError: pmt-iqa.width must be at least 0 and at most 2147483647, got -1
    """
    if isinstance(config, tuple):
        for number, each in enumerate(config):
            check_counts(each, f"{where}[{number}]")
    elif dataclasses.is_dataclass(config):
        for field in dataclasses.fields(config):
            check_counts(getattr(config, field.name), f"{where}.{field.name}")
    elif isinstance(config, int):
        check_number(where, config, least=0, most=2**31 - 1)


def changed(config: T, changes: Mapping[str, Any], where: str) -> T:
    """Returns a dataclass with some fields changed, nested ones field by field.

    Args:
        config: The dataclass.
        changes: Field to new value, as YAML or Python writes it; a mapping changes fields of a nested dataclass.
        where: What is changed, for messages.

    Raises:
        ValueError: For an unknown field (with the nearest valid name) or a value of another type.
    """
    hints = typing.get_type_hints(type(config))
    check_options(changes, hints, where)
    new: dict[str, Any] = {}
    for name, value in changes.items():
        old = getattr(config, name)
        if dataclasses.is_dataclass(old) and isinstance(value, Mapping):
            new[name] = changed(old, value, f"{where}.{name}")
        else:
            new[name] = convert(hints[name], value, f"{where}.{name}")
    try:
        return dataclasses.replace(config, **new)  # type: ignore[type-var]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
