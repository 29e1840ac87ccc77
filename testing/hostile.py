"""Recipes with something wrong in them: each value of a real one replaced by each of some odd ones, or left out."""

from __future__ import annotations

import copy
import datetime
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

ODD: dict[str, Any] = {
    "null": None,
    "word": "x",
    "empty word": "",
    "minus one": -1,
    "nought": 0,
    "half": 0.5,
    "yes": True,
    "no list": [],
    "no mapping": {},
    "list of a word": ["x"],
    "mapping of numbers": {1: 2},
    "not a number": float("nan"),
    "infinite": float("inf"),
    "huge": 10**400,
    "bytes": b"\x00\xff",
    "date": datetime.date(2001, 1, 1),
}
"""What YAML can hold, by name."""

LEFT_OUT = "left out"


def odd_arguments() -> dict[str, Any]:
    """What a program may pass besides what YAML can hold, by name."""
    return {
        **ODD,
        "tensor": torch.ones(2),
        "array": np.ones(2),
        "pair": (1, 0),
        "words": ("x", "y"),
        "object": object(),
        "class": int,
        "set": {1},
        "complex": 1j,
        "path": Path("nowhere"),
        "nested": {"a": {"b": 1}},
        "long word": "x" * 5000,
        "long number": 10**5000,
        "no letter": "a\0b",
    }


def is_told(error: BaseException) -> bool:
    """Whether an error is one for a user: raised by this package, or about a file, and not of thousands of words."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    ours = str(frame.f_globals.get("__name__")).startswith("iqaloss.")
    told = (isinstance(error, (ValueError, TypeError, ImportError)) and ours) or isinstance(error, OSError)
    return told and len(str(error)) < 8000 and "ambiguous" not in str(error) and "Exceeds the limit" not in str(error)


def places(values: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the place of every value inside mappings and lists, as the keys that lead to it.

    Example:
        >>> list(places({"a": {"b": 1}, "c": [2]}))
        [('a',), ('a', 'b'), ('c',), ('c', 0)]
    """
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values) if isinstance(values, list) else ()
    for key, value in pairs:
        yield (*above, key)
        yield from places(value, (*above, key))


def spoilt(values: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields what was done to a recipe, and the recipe; the one that was given stays as it is.

    Example:
        >>> done = dict(spoilt({"a": {"b": 1}}))
        >>> done["a.b: minus one"], done["a: left out"], len(done)
        ({'a': {'b': -1}}, {}, 34)
    """
    for place in places(values):
        name = ".".join(map(str, place))
        for kind in (*ODD, LEFT_OUT):
            changed: Any = copy.deepcopy(dict(values))
            inside = changed
            for key in place[:-1]:
                inside = inside[key]
            if kind == LEFT_OUT:
                del inside[place[-1]]
            else:
                inside[place[-1]] = copy.deepcopy(ODD[kind])
            yield f"{name}: {kind}", changed


_SMALL = {"num_feat": 4, "num_block": 1, "num_grow_ch": 4}


def small_restoration_recipe(options: Any, weights: Mapping[str, str], folder: Path) -> Any:
    """The recipe with small networks and scorers, and with folders that exist."""
    if isinstance(options, list):
        return [small_restoration_recipe(value, weights, folder) for value in options]
    if not isinstance(options, dict):
        return options
    changed = {}
    for key, value in options.items():
        if key in _SMALL:
            changed[key] = _SMALL[key]
        elif key == "scorer":
            name = value if isinstance(value, str) else value["name"]
            changed[key] = {"name": name, "weights": weights[name]}
        elif key.startswith(("dataroot", "meta_info")):
            changed[key] = str(folder)
        elif key.startswith("pretrain_network"):
            changed[key] = None
        elif key == "perceptual_opt":
            changed[key] = None  # VGG19 would be downloaded
        else:
            changed[key] = small_restoration_recipe(value, weights, folder)
    return changed
