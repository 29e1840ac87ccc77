"""Changes to a recipe, written as ``key.key=value``."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from iqaloss._yaml import parse_yaml


def override(values: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Applies changes such as ``"optimizer.lr=1e-4"`` or ``"data.train.0.batch_size=4"`` to a recipe's plain values.

    The right-hand side is read as YAML.

    Raises:
        ValueError: If a change has no ``=`` or its path does not exist.

    Example:
        >>> override({"train": {"steps": 10}}, ["train.steps=20"])
        {'train': {'steps': 20}}
    """
    out: Any = copy.deepcopy(dict(values))
    for change in changes:
        path, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"a change is written as key.key=value, got {change!r}")
        *parents, last = path.strip().split(".")
        place = out
        for key in parents:
            place = _enter(place, key, change)
        new = parse_yaml(text, repr(change))
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
