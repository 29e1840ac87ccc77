"""The layouts in which rated image sets are published, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from iqaloss._errors import check_choice, unknown_name
from iqaloss.data.columns import Columns, assemble
from iqaloss.data.manifest import Manifest, Scale, read_manifest
from iqaloss.data.tables import Table, read_table


@dataclass(frozen=True)
class ScoreTable:
    """One published form of a set's score table.

    Attributes:
        patterns: Where it lies, as glob patterns below the set's folder; the first that matches is taken, with all
            of its matches.
        columns: Our column (image, score, std, variance, reference, prompt, split, group) to the table's.
        dimensions: Our dimension to the table's column.
        scale: What its scores span; None observes them.
        split: The split that its rows are in, where each split has its own table.
        on_request: Whether it is read only when its split is asked for, such as a test set to be opened once.
        image: How an image's file name is made of the value in the image column.
        std_factor: What brings the deviations to the scale of the scores.
        read: Reads the table; by its suffix when left out.
    """

    patterns: tuple[str, ...]
    columns: Mapping[str, str]
    dimensions: Mapping[str, str] = field(default_factory=dict)
    scale: Scale | None = None
    split: str | None = None
    on_request: bool = False
    image: Callable[[Any], str] = str
    std_factor: float = 1.0
    read: Callable[[Path], Table] | None = None

    def find(self, root: Path) -> list[Path]:
        """Returns the files of the first pattern that matches."""
        for pattern in self.patterns:
            found = sorted(path for path in root.glob(pattern) if path.is_file())
            if found:
                return found
        return []


@dataclass(frozen=True)
class Layout:
    """How a rated image set is published.

    Attributes:
        name: Its short name.
        title: Its name and paper.
        tables: Alternative forms of the score tables, the best first; forms with a ``split`` are read together.
        images: Folders of the images below the set's folder, as glob patterns.
        references: Folders of the reference images.
        reference: The reference's file name, made of the image's; None where a column has it or there is none.
        group: The content group, made of the image's name; None where a column has it or each image is its own.
        dimension_scales: Scales of dimensions that differ from the score's.
    """

    name: str
    title: str
    tables: tuple[ScoreTable, ...]
    images: tuple[str, ...]
    references: tuple[str, ...] = ()
    reference: Callable[[str], str] | None = None
    group: Callable[[str], str] | None = None
    dimension_scales: Mapping[str, Scale] = field(default_factory=dict)

    def find_tables(self, root: Path, splits: Sequence[str] | None = None) -> list[tuple[ScoreTable, list[Path]]]:
        """Returns the tables to read in a folder; empty when it does not hold this layout."""
        found: list[tuple[ScoreTable, list[Path]]] = []
        for table in self.tables:
            wanted = not table.on_request if splits is None or table.split is None else table.split in splits
            paths = table.find(root) if wanted else []
            if paths and (not found or (table.split is not None and found[0][0].split is not None)):
                found.append((table, paths))
        return found


class FileIndex:
    """Finds image files by name in some folders, whatever the letter case that the table uses."""

    def __init__(self, root: Path, folders: Sequence[str]) -> None:
        self.folders: list[Path] = []
        for pattern in folders:
            matches = [root] if pattern == "." else sorted(path for path in root.glob(pattern) if path.is_dir())
            self.folders.extend(path for path in matches if path not in self.folders)
        self.fallback = self.folders[0] if self.folders else root
        self._listed: dict[Path, dict[str, Path]] = {}

    def __call__(self, name: str) -> Path:
        """Returns the file of that name; for a missing one the place where it should be."""
        for folder in self.folders:
            below = folder / PurePath(name).parent
            if below not in self._listed:
                self._listed[below] = {path.name.lower(): path for path in below.iterdir()} if below.is_dir() else {}
            found = self._listed[below].get(PurePath(name).name.lower())
            if found is not None:
                return found
        return self.fallback / name


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
    from iqaloss.data.layouts.published import PUBLISHED

    return {layout.name: layout for layout in PUBLISHED}


def detect_layout(folder: str | Path) -> Layout:
    """Returns the layout that a folder holds, by the names of its score tables.

    Raises:
        ValueError: If it holds none, or several.
    """
    root = Path(folder)
    fitting = [layout for layout in _table().values() if layout.find_tables(root)]
    if len(fitting) != 1:
        names = ", ".join(layout.name for layout in fitting)
        what = f"fits several layouts ({names}); name one" if fitting else "holds the score tables of no known layout"
        raise ValueError(f"{root} {what}. Known: {', '.join(list_layouts())}")
    return fitting[0]


def read_layout(
    name: str,
    folder: str | Path,
    *,
    splits: Sequence[str] | None = None,
    skip_bad: bool = False,
    check: str = "header",
) -> Manifest:
    """Reads a rated image set in the layout in which it is published.

    Args:
        name: A name out of :func:`list_layouts`.
        folder: The set's folder, unpacked as it was published.
        splits: Official splits to keep; all by default, save tables that are read on request only (BIQ2021's test).
        skip_bad: Leave bad rows out instead of raising.
        check: How hard to look at each image (see :func:`iqaloss.data.manifest.read_manifest`).

    Returns:
        The manifest, with the published scale, direction and content groups.

    Raises:
        FileNotFoundError: If the folder or its score table does not exist.
        ManifestError: If rows are bad and ``skip_bad`` is false.
        ValueError: If the layout or a split is unknown.

    Example:
        >>> read_layout("koniq10k", "data/koniq10k", splits=["test"])  # doctest: +SKIP
    """
    layout, root = get_layout(name), Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder: {root}")
    if splits is not None:
        known = [table.split for table in layout.tables if table.split is not None]
        for split in splits if known else ():
            if split not in known:
                raise ValueError(f"{name}: {unknown_name('split', split, known)}")
    found = layout.find_tables(root, splits)
    if not found:
        looked = "; ".join(pattern for table in layout.tables for pattern in table.patterns)
        raise FileNotFoundError(f"{root} does not hold {layout.title}: none of these is there: {looked}")
    parts = [_columns(layout, table, path) for table, paths in found for path in paths]
    columns = parts[0] if len(parts) == 1 else _join(parts)
    manifest = assemble(
        columns,
        FileIndex(root, layout.images),
        name=name,
        scale=found[0][0].scale,
        dimension_scales=layout.dimension_scales,
        resolve_reference=FileIndex(root, layout.references),
        skip_bad=skip_bad,
        check=check,
    )
    return manifest if splits is None or manifest.splits is None else manifest.with_split(*splits)


def _columns(layout: Layout, spec: ScoreTable, path: Path) -> Columns:
    table = (spec.read or read_table)(path)

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
    from iqaloss.data.columns import to_floats

    if "std" in spec.columns:
        return list(to_floats(table.column(spec.columns["std"])) * spec.std_factor)
    if "variance" in spec.columns:
        return list(to_floats(table.column(spec.columns["variance"])) ** 0.5)
    return None


def _join(parts: Sequence[Columns]) -> Columns:
    """Joins tables of one set; each row keeps the line in its own table."""

    def both(role: str) -> list[Any] | None:
        values = [getattr(part, role) for part in parts]
        return None if any(value is None for value in values) else [cell for value in values for cell in value]

    return Columns(
        source=" + ".join(part.source for part in parts) if len(parts) <= 3 else str(Path(parts[0].source).parent),
        lines=both("lines") or [],
        image=both("image") or [],
        score=both("score") or [],
        std=both("std"),
        reference=both("reference"),
        prompt=both("prompt"),
        split=both("split"),
        group=both("group"),
        dimensions={name: [cell for part in parts for cell in part.dimensions[name]] for name in parts[0].dimensions},
    )


def load_data(
    data: str | Path,
    images: str | Path | None = None,
    *,
    layout: str | None = None,
    splits: Sequence[str] | None = None,
    skip_bad: bool = False,
    check: str = "header",
) -> Manifest:
    """Reads rated images from a manifest file or from a folder in a published layout.

    Args:
        data: A table (see :func:`iqaloss.data.manifest.read_manifest`) or the folder of a published set.
        images: Folder of a table's images; the table's own folder by default.
        layout: Name of the folder's layout; recognised by its score tables by default.
        splits: Splits to keep; all by default.
        skip_bad: Leave bad rows out instead of raising.
        check: How hard to look at each image.
    """
    path = Path(data)
    if path.is_dir():
        name = layout or detect_layout(path).name
        return read_layout(name, path, splits=splits, skip_bad=skip_bad, check=check)
    if layout is not None:
        raise ValueError(f"the layout {layout!r} is that of a folder, but {path} is none")
    manifest = read_manifest(path, images, skip_bad=skip_bad, check=check)
    return manifest if splits is None else manifest.with_split(*splits)
