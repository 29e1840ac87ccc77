"""One scorer with several values of an option: what ``evaluate --vary`` compares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from iqaloss.cli.display import parse_options

Trial = tuple[str, str | None, str, dict[str, Any]]
"""A scorer's name, its weights, its label and its options."""


def varied(scorers: Iterable[tuple[str, str | None, str]], options: Sequence[str], vary: str | None) -> list[Trial]:
    """Returns each scorer with the given options, once for each value of the one that varies.

    Args:
        scorers: Name, weights and label of each.
        options: Options of all, as ``KEY=VALUE``.
        vary: ``KEY=A,B,...``; None varies nothing.

    Raises:
        ValueError: If there are fewer than two values.

    Example:
        >>> [trial[2] for trial in varied([("lar-iqa", None, "lar-iqa")], [], "color_space=RGB,HSV")]
        ['lar-iqa color_space=RGB', 'lar-iqa color_space=HSV']
    """
    common = parse_options(options)
    if vary is None:
        return [(name, given, label, common) for name, given, label in scorers]
    key, _, values = vary.partition("=")
    each = [value.strip() for value in values.split(",") if value.strip()]
    if len(each) < 2:
        raise ValueError(f"--vary needs an option and at least two values, KEY=A,B, got {vary!r}")
    return [
        (name, given, f"{label} {key}={value}", {**common, **parse_options([f"{key}={value}"])})
        for name, given, label in scorers
        for value in each
    ]
