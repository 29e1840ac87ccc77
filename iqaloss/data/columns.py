"""From columns to a manifest: names resolved to files, every row checked, bad rows listed with their lines."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from iqaloss._errors import check_choice
from iqaloss.data.manifest import BadRow, Floats, Manifest, ManifestError, Scale
from iqaloss.data.tables import Table

CHECKS = ("none", "exists", "header", "decode")

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "image": (
        "image", "image_name", "image_path", "img", "img_name", "img_path", "filename", "file_name", "file", "path",
        "name", "dist_img", "dist_name", "distorted",
    ),
    "score": ("score", "mos", "quality_mos", "mos_quality", "mean_opinion_score", "mos_zscore", "quality", "dmos"),
    "std": ("std", "stddev", "sd", "stdev", "mos_std", "score_std"),
    "reference": ("reference", "ref", "ref_img", "ref_name", "reference_image", "ref_path"),
    "prompt": ("prompt", "text_prompt", "caption"),
    "split": ("split", "set"),
    "group": ("group", "content", "content_group", "scene"),
}  # fmt: skip
"""Names under which the columns of a manifest are found, the best first."""

Resolve = Callable[[str], Path]


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


def columns_of(table: Table, dimensions: Sequence[str] | None = None) -> tuple[Columns, str]:
    """Finds the columns of a table by their synonyms; returns them and the name of the score column.

    Raises:
        ValueError: If there is no image or score column, or no column of a named dimension.
    """
    found = {role: table.find(*names) for role, names in SYNONYMS.items()}
    for role in ("image", "score"):
        if found[role] is None:
            raise ValueError(
                f"{table.source}: no {role} column; it has {', '.join(table.columns)}, "
                f"and one of these is needed: {', '.join(SYNONYMS[role])}"
            )

    def text(role: str) -> list[str] | None:
        name = found[role]
        return None if name is None else ["" if value is None else str(value) for value in table.columns[name]]

    if dimensions is None:
        taken = set(found.values())
        extra = {name: values for name, values in table.columns.items() if name not in taken}
        chosen = {name: values for name, values in extra.items() if np.isfinite(to_floats(values)).all()}
    else:
        chosen = {name: table.column(name) for name in dimensions}
    score, std = found["score"] or "", found["std"]
    columns = Columns(
        source=table.source,
        lines=table.lines,
        image=text("image") or [],
        score=table.columns[score],
        std=None if std is None else table.columns[std],
        reference=text("reference"),
        prompt=text("prompt"),
        split=text("split"),
        group=text("group"),
        dimensions=chosen,
    )
    return columns, score


def to_floats(values: Sequence[Any]) -> Floats:
    """Converts a column to float64; what is no number becomes NaN."""

    def one(value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            return float("nan")

    return np.array([one(value) for value in values], dtype=np.float64)


def problem_of(path: Path, check: str) -> str | None:
    """Returns what is wrong with an image file, or None."""
    if check == "none":
        return None
    if not path.is_file():
        return f"no such file: {path}"
    if check == "exists":
        return None
    from PIL import Image

    try:
        with Image.open(path) as image:
            if check == "decode":
                image.convert("RGB")
    except Exception as error:
        return f"unreadable image: {error}"
    return None


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
        check: See :func:`iqaloss.data.manifest.read_manifest`.

    Raises:
        ManifestError: If rows are bad and ``skip_bad`` is false.
        ValueError: If no good row is left.
    """
    check_choice("check", check, CHECKS)
    scores = to_floats(columns.score)
    dimensions = {key: to_floats(values) for key, values in columns.dimensions.items()}
    stds = None if columns.std is None else to_floats(columns.std)
    paths = [resolve(image) for image in columns.image]
    references = _references(columns, resolve_reference or resolve)

    seen: dict[str, int] = {}
    bad: list[BadRow] = []
    good: list[int] = []
    for row, (line, image) in enumerate(zip(columns.lines, columns.image)):
        problem = _problem(row, image, columns, scores, dimensions) or problem_of(paths[row], check)
        if problem is None and references is not None:
            reference = references[row]
            problem = None if reference is None else problem_of(reference, "none" if check == "none" else "exists")
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
    group = columns.group if columns.group is not None else columns.reference
    return Manifest(
        name=name,
        images=tuple(paths[row] for row in good),
        scores=scores[kept],
        scale=scale or Scale.observed(scores[kept], lower_is_better),
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
        if not np.isfinite(values[row]):
            return f"the {name} score {columns.dimensions[name][row]!r} is not a finite number"
    return None


def _references(columns: Columns, resolve: Resolve) -> list[Path | None] | None:
    if columns.reference is None:
        return None
    return [resolve(name) if name else None for name in columns.reference]


def build(
    table: Table,
    folder: Path,
    *,
    name: str,
    scale: Scale | None,
    lower_is_better: bool | None,
    dimensions: Sequence[str] | None,
    skip_bad: bool,
    check: str,
) -> Manifest:
    """Makes the manifest of a table whose columns carry names that we know."""
    columns, score = columns_of(table, dimensions)
    lower = score.lower() == "dmos" if lower_is_better is None else lower_is_better
    # Dimensions span what the table shows of them; only DMOS has the scale's direction turned.
    scales = {} if scale is not None else {key: Scale.observed(to_floats(v)) for key, v in _finite(columns).items()}
    return assemble(
        columns,
        lambda image: folder / image,
        name=name,
        scale=scale,
        lower_is_better=lower,
        dimension_scales=scales,
        skip_bad=skip_bad,
        check=check,
    )


def _finite(columns: Columns) -> dict[str, list[Any]]:
    """Returns the finite values of each dimension, for its observed scale."""
    out = {}
    for name, values in columns.dimensions.items():
        numbers = to_floats(values)
        finite = numbers[np.isfinite(numbers)]
        if finite.size:
            out[name] = list(finite)
    return out
