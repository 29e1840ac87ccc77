"""Names that recipes used to have: an error says what they are called now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "centre_crop": "center_crop",
    "fresh_optimiser": "fresh_optimizer",
    "normalise": "normalize",
    "normalised": "normalized",
    "optimiser": "optimizer",
    "part": "share",
    "reference_behaviour": "reference_behavior",
    "views": "versions",
}
"""Old name of a field to its new one."""

_FREE = ("dimensions", "losses", "shares", "versions")
"""Fields whose keys are names of the user's."""


def refuse_old_names(values: Any, where: str) -> None:
    """Raises ``ValueError`` for the first field with an old name, wherever in a recipe it stands.

    Args:
        values: A recipe's plain values, or some of them.
        where: Where they stand, for the message.

    Example:
        >>> refuse_old_names({"optimiser": {"lr": 1e-4}}, "recipe")
        Traceback (most recent call last):
        ValueError: recipe: the field 'optimiser' is now called 'optimizer'
    """
    if isinstance(values, Mapping):
        for name, value in values.items():
            if name in RENAMED:
                raise ValueError(f"{where}: the field {name!r} is now called {RENAMED[name]!r}")
            named = name in _FREE and isinstance(value, Mapping)
            refuse_old_names(list(value.values()) if named else value, f"{where}.{name}")
    elif isinstance(values, list):
        for number, value in enumerate(values):
            refuse_old_names(value, f"{where}.{number}")
