"""Rated image sets in the layouts in which they were published: known by name or by their tables, and read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from iqaloss._errors import check_choice, unknown_name
from iqaloss.data.columns import Columns
from iqaloss.data.layouts.published import PUBLISHED
from iqaloss.data.layouts.record import FileIndex, Layout, ScoreTable
from iqaloss.data.library import Library
from iqaloss.data.manifest import Manifest
from iqaloss.data.rows import assemble
from iqaloss.data.split_files import is_split_file
from iqaloss.data.tables import Table, read_table
from iqaloss.data.text_tables import to_float, to_floats


def list_layouts() -> list[str]:
    """Returns the names of all known layouts, sorted.

    Example:
        >>> "koniq10k" in list_layouts()
        True
    """
    return sorted(_table())


def get_layout(name: str) -> Layout:
    """Returns a layout by name; raises ``ValueError`` with the nearest name for an unknown one."""
    layouts = _table()
    check_choice("layout", name, layouts)
    return layouts[name]


def _table() -> Mapping[str, Layout]:
    return {layout.name: layout for layout in PUBLISHED}


def fitting_layouts(folder: str | Path, library: Library | None = None) -> list[Layout]:
    """Returns the layouts whose score tables a folder holds: the files by their names, with the columns they have.

    The file name alone is not enough: a folder of yours that holds ``data.csv`` is no AGIQA-3K.
    """
    root, known = Path(folder), library or Library()
    return [layout for layout in PUBLISHED if _fits(layout, root, known)]


def _fits(layout: Layout, root: Path, library: Library) -> bool:
    found = layout.find_tables(root)
    return bool(found) and all(_has_columns(table, paths[0], library) for table, paths in found)


def _has_columns(spec: ScoreTable, path: Path, library: Library) -> bool:
    if path.suffix == ".mat":  # nobody's own table
        return True
    try:
        table = library.table(path, spec.read or read_table)
    except (ValueError, OSError):  # another table under the published name
        return False
    known = all(table.find(name) is not None for name in (*spec.columns.values(), *spec.dimensions.values()))
    # Forms without a header take the first row for an image and its score: in another table it is the header.
    return known and bool(len(table)) and np.isfinite(to_float(table.column(spec.columns["score"])[0]))


def read_layout(
    name: str,
    folder: str | Path,
    *,
    splits: Sequence[str] | None = None,
    skip_bad: bool = False,
    check: str = "header",
    library: Library | None = None,
) -> Manifest:
    """Reads a rated image set in the layout in which it is published.

    Args:
        name: A name out of :func:`list_layouts`.
        folder: The set's folder, unpacked as it was published.
        splits: Official splits to keep; all by default, save tables that are read on request only (BIQ2021's test).
        skip_bad: Leave bad rows out instead of raising.
        check: How hard to look at each image, out of :data:`iqaloss.data.library.CHECKS`.
        library: Remembers what was read before; a new one by default.

    Returns:
        The manifest, with the published scale, direction and content groups.

    Raises:
        FileNotFoundError: If the folder or its score table does not exist.
        ManifestError: If rows are bad and ``skip_bad`` is false.
        ValueError: If the layout or a split is unknown.

    Example:
        >>> read_layout("koniq10k", "data/koniq10k", splits=["test"])  # doctest: +SKIP
    """
    layout, root, library = get_layout(name), Path(folder), library or Library()
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder: {root}")
    named = None if splits is not None and any(map(is_split_file, splits)) else splits  # a file names rows of any table
    if named is not None:
        known = [table.split for table in layout.tables if table.split is not None]
        for split in named if known else ():
            if split not in known:
                raise ValueError(f"{name}: {unknown_name('split', split, known)}")
    found = layout.find_tables(root, named)
    if not found:
        looked = "; ".join(pattern for table in layout.tables for pattern in table.patterns)
        raise FileNotFoundError(f"{root} does not hold {layout.title}: none of these is there: {looked}")
    tables = [_columns(layout, table, path, library) for table, paths in found for path in paths]
    columns = tables[0] if len(tables) == 1 else _join(tables)
    manifest = assemble(
        columns,
        FileIndex(root, layout.images),
        name=name,
        scale=found[0][0].scale,
        dimension_scales=layout.dimension_scales,
        resolve_reference=FileIndex(root, layout.references),
        skip_bad=skip_bad,
        check=check,
        library=library,
    )
    return manifest if splits is None else manifest.with_split(*splits)


def _columns(layout: Layout, spec: ScoreTable, path: Path, library: Library) -> Columns:
    table = library.table(path, spec.read or read_table)

    def text(role: str) -> list[str] | None:
        if role not in spec.columns:
            return None
        return ["" if value is None else str(value) for value in table.column(spec.columns[role])]

    images = [
        "" if value is None or value == "" else spec.image(value) for value in table.column(spec.columns["image"])
    ]
    reference, group, split = text("reference"), text("group"), text("split")
    if reference is None and layout.reference is not None:
        reference = [layout.reference(image) if image else "" for image in images]
    if group is None and layout.group is not None:
        group = [layout.group(image) if image else "" for image in images]
    return Columns(
        source=table.source,
        lines=table.lines,
        image=images,
        score=table.column(spec.columns["score"]),
        std=_std(spec, table),
        reference=reference,
        prompt=text("prompt"),
        split=[spec.split] * len(table) if spec.split is not None else split,
        group=group,
        dimensions={name: table.column(column) for name, column in spec.dimensions.items()},
    )


def _std(spec: ScoreTable, table: Table) -> list[float] | None:
    if "std" in spec.columns:
        return list(to_floats(table.column(spec.columns["std"])) * spec.std_factor)
    if "variance" in spec.columns:
        return list(to_floats(table.column(spec.columns["variance"])) ** 0.5)
    return None


def _join(tables: Sequence[Columns]) -> Columns:
    """Joins tables of one set; each row keeps the line in its own table."""

    def both(role: str) -> list[Any] | None:
        values = [getattr(table, role) for table in tables]
        return None if any(value is None for value in values) else [cell for value in values for cell in value]

    return Columns(
        source=" + ".join(table.source for table in tables) if len(tables) <= 3 else str(Path(tables[0].source).parent),
        lines=both("lines") or [],
        image=both("image") or [],
        score=both("score") or [],
        std=both("std"),
        reference=both("reference"),
        prompt=both("prompt"),
        split=both("split"),
        group=both("group"),
        dimensions={
            name: [cell for table in tables for cell in table.dimensions[name]] for name in tables[0].dimensions
        },
    )
