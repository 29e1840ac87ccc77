"""Which columns of a table hold what, before any value is checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from iqaloss.data.manifest import SCORE
from iqaloss.data.scales import Scale
from iqaloss.data.tables import Table
from iqaloss.data.text_tables import to_floats
from iqaloss.data.vocabulary import counts_degradation, find_roles, missing_column


@dataclass
class Columns:
    """The columns of a manifest before they are checked; values as the table has them.

    Attributes:
        source: The table, for messages.
        lines: Line of each row.
        image: Names of the images.
        score: Overall scores.
        std: Standard deviations.
        reference: Names of the reference images.
        prompt: Prompts.
        split: Names of splits.
        group: Content groups; the reference's name by default.
        dimensions: Further scores by name.
    """

    source: str
    lines: list[int]
    image: list[str]
    score: list[Any]
    std: list[Any] | None = None
    reference: list[str] | None = None
    prompt: list[str] | None = None
    split: list[str] | None = None
    group: list[str] | None = None
    dimensions: dict[str, list[Any]] = field(default_factory=dict)


def columns_of(table: Table, dimensions: Sequence[str] | None = None, score: str | None = None) -> tuple[Columns, str]:
    """Finds the columns of a table by their names; returns them and the name of the score column.

    Args:
        table: The table.
        dimensions: Names of the columns to take as dimensions; by default every further column in which each cell
            that is not empty is a number.
        score: Name of the score column; the best of the known names by default.

    Raises:
        ValueError: If there is no image or score column, or no column of a named dimension.
    """
    found = find_roles(table.columns)
    if score is not None:
        found["score"] = table.own_name(score)
    for role in ("image", "score"):
        if role not in found:
            raise missing_column(table.source, role, table.columns)

    def text(role: str) -> list[str] | None:
        name = found.get(role)
        return None if name is None else ["" if value is None else str(value) for value in table.columns[name]]

    if dimensions is None:
        taken = {SCORE, *found.values()}  # a model's score beside the people's is no dimension
        extra = {name: values for name, values in table.columns.items() if name not in taken}
        chosen = {name: values for name, values in extra.items() if _holds_numbers(values)}
    else:
        chosen = {name: table.column(name) for name in dimensions}
    columns = Columns(
        source=table.source,
        lines=table.lines,
        image=text("image") or [],
        score=table.columns[found["score"]],
        std=table.columns[found["std"]] if "std" in found else None,
        reference=text("reference"),
        prompt=text("prompt"),
        split=text("split"),
        group=text("group"),
        dimensions=chosen,
    )
    return columns, found["score"]


def _holds_numbers(values: Sequence[Any]) -> bool:
    """Whether each cell that is not empty is a number, and there is one."""
    filled = [value for value in values if value is not None and str(value).strip()]
    return bool(filled) and bool(np.isfinite(to_floats(filled)).all())


def observed_scales(columns: Columns) -> Mapping[str, Scale]:
    """Returns the scale that the finite values of each dimension show; its name says which end is good."""
    out = {}
    for name, values in columns.dimensions.items():
        numbers = to_floats(values)
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            out[name] = Scale.observed(finite, counts_degradation(name))
    return out
