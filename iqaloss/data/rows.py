"""From columns to a manifest: names resolved to files, every row checked, bad rows listed with their lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from iqaloss._errors import check_choice
from iqaloss.data.columns import Columns
from iqaloss.data.library import CHECKS, Library
from iqaloss.data.manifest import BadRow, Manifest, ManifestError
from iqaloss.data.scales import Floats, Scale
from iqaloss.data.text_tables import to_floats

Resolve = Callable[[str], Path]
"""Finds the file of an image's name."""


def assemble(
    columns: Columns,
    resolve: Resolve,
    *,
    name: str,
    scale: Scale | None = None,
    lower_is_better: bool = False,
    dimension_scales: Mapping[str, Scale] | None = None,
    resolve_reference: Resolve | None = None,
    skip_bad: bool = False,
    check: str = "header",
    library: Library | None = None,
) -> Manifest:
    """Checks every row and makes the manifest of the good ones.

    Args:
        columns: The rows.
        resolve: Finds the file of an image name.
        name: Name of the dataset.
        scale: What the scores span; observed on the good rows by default.
        lower_is_better: Direction of an observed scale.
        dimension_scales: Scales of dimensions that differ from the score's.
        resolve_reference: Finds the file of a reference; like an image's by default.
        skip_bad: Leave bad rows out instead of raising.
        check: How hard to look at each image, out of :data:`iqaloss.data.library.CHECKS`.
        library: Remembers what was checked before; a new one by default.

    Raises:
        ManifestError: If rows are bad and ``skip_bad`` is false.
        ValueError: If no good row is left.
    """
    check_choice("check", check, CHECKS)
    library = library or Library()
    scores = to_floats(columns.score)
    dimensions = {key: to_floats(values) for key, values in columns.dimensions.items()}
    stds = None if columns.std is None else to_floats(columns.std)
    paths = [resolve(image) for image in columns.image]
    references = _references(columns, resolve_reference or resolve)

    seen: dict[str, int] = {}
    bad: list[BadRow] = []
    good: list[int] = []
    for row, (line, image) in enumerate(zip(columns.lines, columns.image)):
        problem = _problem(row, image, columns, scores, dimensions) or library.problem(paths[row], check)
        if problem is None and references is not None:
            reference = references[row]
            problem = None if reference is None else library.problem(reference, "none" if check == "none" else "exists")
        key = os.path.normpath(paths[row])
        if problem is None and key in seen:
            problem = f"duplicate of line {seen[key]}"
        if problem is None:
            seen[key] = line
            good.append(row)
        else:
            bad.append(BadRow(line, image, problem))
    if bad and not skip_bad:
        raise ManifestError(columns.source, bad)
    if not good:
        raise ValueError(f"{columns.source}: no usable row\n{ManifestError(columns.source, bad, shown=5)}")

    def pick(values: list[str] | None) -> tuple[str, ...] | None:
        return None if values is None else tuple(values[row] for row in good)

    kept = np.array(good)
    try:
        scale = scale or Scale.observed(scores[kept], lower_is_better)
    except ValueError as error:
        raise ValueError(f"{columns.source}: {error}") from error
    group = columns.group if columns.group is not None else columns.reference
    return Manifest(
        name=name,
        images=tuple(paths[row] for row in good),
        scores=scores[kept],
        scale=scale,
        stds=None if stds is None else stds[kept],
        references=None if references is None else tuple(references[row] for row in good),
        prompts=pick(columns.prompt),
        dimensions={key: values[kept] for key, values in dimensions.items()},
        dimension_scales=dict(dimension_scales or {}),
        splits=pick(columns.split),
        groups=pick(group),
        lines=tuple(columns.lines[row] for row in good),
        skipped=tuple(bad),
    )


def _problem(row: int, image: str, columns: Columns, scores: Floats, dimensions: Mapping[str, Floats]) -> str | None:
    if not image:
        return "no image name"
    if not np.isfinite(scores[row]):
        return f"the score {columns.score[row]!r} is not a finite number"
    for name, values in dimensions.items():
        cell = columns.dimensions[name][row]
        if not np.isfinite(values[row]) and str(cell if cell is not None else "").strip():
            return f"the {name} score {cell!r} is not a finite number"
    return None  # an empty cell is none until its dimension is asked for


def _references(columns: Columns, resolve: Resolve) -> list[Path | None] | None:
    if columns.reference is None:
        return None
    return [resolve(name) if name else None for name in columns.reference]
