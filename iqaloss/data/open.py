"""The one door to images and to their human scores."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from iqaloss._errors import check_choice
from iqaloss.data.columns import columns_of, observed_scales
from iqaloss.data.folders import expand_braces, walk_images
from iqaloss.data.layouts.reading import fitting_layouts, list_layouts, read_layout
from iqaloss.data.library import CHECKS, Library
from iqaloss.data.manifest import SCORE, Manifest
from iqaloss.data.parquet import ParquetFiles, holds_images
from iqaloss.data.rows import assemble
from iqaloss.data.scales import Scale
from iqaloss.data.shards import Shards
from iqaloss.data.sources import Chain, Files, Folder, ListFile, Source
from iqaloss.data.tables import SUFFIXES as TABLES
from iqaloss.data.vocabulary import counts_degradation, find_roles

_SHARDS = (".tar", ".tar.gz", ".tgz")


@dataclass(frozen=True)
class SequentialSet:
    """Rated images that are read in sequence, because they lie in shards or inside Parquet files.

    They can be scored and evaluated; a training needs a table or a published set.

    Attributes:
        name: Name of the set.
        source: The images with their human scores, higher is better.
    """

    name: str
    source: Source


def open_images(spec: str | Path, images: str | Path | None = None) -> Source:
    """Returns the images that a path or pattern names, with their human scores where they have any.

    Args:
        spec: An image, a folder (of images, of .tar shards or of .parquet files), a list (.txt, .csv, .tsv, .xlsx), a
            .parquet or .tar file, or a pattern of them with ``*`` or ``{000..123}``. Columns are known by the names
            of :data:`iqaloss.data.vocabulary.VOCABULARY`.
        images: Folder that the names in lists and Parquet files are relative to; the file's own by default.

    Returns:
        Items that can be read again from its start, in the same order.

    Raises:
        FileNotFoundError: If nothing is there.
        ValueError: If ``images`` is given for what holds no names.

    Example:
        >>> open_images("shards/train-{000..063}.tar")  # doctest: +SKIP
    """
    path = Path(spec)
    if images is not None and (path.is_dir() or (path.is_file() and not _holds_names(path))):
        raise ValueError(f"images={str(images)!r} has no effect on {spec}: it holds no names of images; leave it out")
    if path.is_dir():
        for suffixes, make in ((_SHARDS, Shards), ((".parquet",), ParquetFiles)):
            inside = tuple(sorted(file for file in path.iterdir() if file.name.endswith(suffixes)))
            if inside and not _holds_pictures(path):
                return make(inside)
        return Folder(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{spec} is neither a file nor a folder")
    if not path.is_file():
        matches = [Path(name) for pattern in expand_braces(str(spec)) for name in sorted(glob.glob(pattern))]
        if not matches:
            raise FileNotFoundError(f"no image or folder at {spec}, nor does it match as a pattern")
        return Chain(tuple(open_images(match, images) for match in matches))
    base = Path(images) if images is not None else path.parent
    if path.suffix.lower() == ".parquet":
        return ParquetFiles((path,), base)
    if path.suffix.lower() in TABLES:
        return ListFile(path, base)
    if path.name.endswith(_SHARDS):
        return Shards((path,))
    return Files((path,))


def open_rated(
    data: str | Path,
    images: str | Path | None = None,
    *,
    layout: str | None = None,
    splits: Sequence[str] | None = None,
    scale: Scale | None = None,
    lower_is_better: bool | None = None,
    dimensions: Sequence[str] | None = None,
    name: str | None = None,
    skip_bad: bool = False,
    check: str = "header",
    library: Library | None = None,
) -> Manifest | SequentialSet:
    """Opens images with human scores: a table, a published set, or shards.

    A table (.csv, .tsv, .txt, .xlsx, .parquet) needs an image and a score column; ``std``, ``reference``, ``prompt``,
    ``split`` and ``group`` are read where they are, and every other column with a number in every row is a dimension.
    Columns are known by many names, such as ``img_name`` or ``MOS`` (:data:`iqaloss.data.vocabulary.VOCABULARY`);
    separators are found out and decimal commas are understood. A folder is a published set (known by the names *and*
    the columns of its score tables), or holds one table of yours beside its images.

    Args:
        data: The table, the folder, or shards (a .tar file, a Parquet file that holds the images, a folder or a
            pattern of them).
        images: Folder of a table's images; the table's own folder by default.
        layout: Name of a folder's layout; recognised by its score tables by default.
        splits: Official splits to keep; all by default.
        scale: What the scores span. By default that of the published set, or for a table ``[0, 1]`` when all lie in
            it, and else from the smallest to the largest score.
        lower_is_better: Whether a low score in a table means a good image, for a scale that is not given. By default
            only a column named ``dmos`` is turned round.
        dimensions: Names of the columns to take as dimensions; every further column of numbers by default.
        name: Name of the set; the file's or the layout's own by default.
        skip_bad: Leave bad rows out (``Manifest.skipped`` lists them) instead of raising.
        check: How hard to look at each image: ``"none"``, ``"exists"``, ``"header"`` (opens it) or ``"decode"``. Images
            read in sequence are looked at when they are read.
        library: Remembers what was read before, for several data sets over one table.

    Returns:
        A :class:`~iqaloss.data.manifest.Manifest`; for shards a :class:`SequentialSet`.

    Raises:
        FileNotFoundError: If there is nothing.
        ManifestError: If rows are bad: a missing or unreadable image, a score that is no number, a duplicate.
        ValueError: If a column or a split is missing, no good row is left, or an option has no meaning for the data.

    Example:
        >>> open_rated("scores.csv", "photos").target()  # doctest: +SKIP
    """
    path, known = Path(data), library or Library()
    given = {
        "images": images,
        "layout": layout,
        "splits": splits,
        "scale": scale,
        "lower_is_better": lower_is_better,
        "dimensions": dimensions,
    }
    check_choice("check", check, CHECKS)
    if layout is None and is_sequential(path):
        _refuse(given, ("layout", "splits", "scale", "lower_is_better", "dimensions"), data, "read in sequence")
        return SequentialSet(name or path.name.split(".")[0].strip("*") or "data", open_images(data, images))
    if path.is_dir():
        chosen = layout or _layout_of(path, known)
        if chosen is not None:
            _refuse(given, ("images", "lower_is_better", "dimensions"), data, f"in the published layout {chosen}")
            manifest = read_layout(chosen, path, splits=splits, skip_bad=skip_bad, check=check, library=known)
            manifest = manifest if name is None else replace(manifest, name=name)
            return manifest if scale is None else replace(manifest, scale=scale, dimension_scales={})
        images, path = images or path, _tables_of(path, known)[0]
    _refuse(given, ("layout",), data, "a table, and a layout is that of a folder")
    if scale is not None:
        _refuse(given, ("lower_is_better",), data, f"given with its scale, {scale}, which says the direction")
    table = known.table(path)
    columns, score = columns_of(table, dimensions)
    folder = Path(images) if images is not None else path.parent
    manifest = assemble(
        columns,
        lambda image: folder / image,
        name=name or path.stem,
        scale=scale,
        lower_is_better=counts_degradation(score) if lower_is_better is None else lower_is_better,
        dimension_scales={} if scale is not None else observed_scales(columns),
        skip_bad=skip_bad,
        check=check,
        library=known,
    )
    return manifest if splits is None else manifest.with_split(*splits)


def open_rows(data: str | Path, images: str | Path | None = None, **options: object) -> Manifest:
    """Opens rated images whose rows can be held and drawn from, as a training needs; see :func:`open_rated`.

    Raises:
        ValueError: If the data can only be read in sequence.
    """
    opened = open_rated(data, images, **options)  # type: ignore[arg-type]
    if isinstance(opened, SequentialSet):
        raise ValueError(f"{data} is read in sequence, which can be evaluated; training needs a table or a folder")
    return opened


def rated_source(manifest: Manifest, dimension: str | None = None) -> Source:
    """Returns a manifest's images with their human scores on the table's scale, turned so that higher is better."""
    name = dimension or SCORE
    scale = manifest.scale if dimension is None else manifest.dimension_scales.get(name, manifest.scale)
    target = min(scale.worst, scale.best) + manifest.target(name) * abs(scale.best - scale.worst)
    return Files(manifest.images, target.tolist(), manifest.groups, manifest.prompts)


def is_sequential(path: Path) -> bool:
    """Whether rated images are read in sequence: shards, patterns, or Parquet files that hold the images.

    A folder with pictures is not, whatever archive lies beside them.
    """
    if path.is_dir():
        return any(_in_sequence(file) for file in path.iterdir()) and not _holds_pictures(path)
    return _in_sequence(path) if path.is_file() else any(char in path.name for char in "*{")


def _in_sequence(path: Path) -> bool:
    return path.name.endswith(_SHARDS) or (path.suffix.lower() == ".parquet" and holds_images(path))


def _holds_pictures(folder: Path) -> bool:
    return any(isinstance(found, Path) for found in walk_images(folder))


def _holds_names(path: Path) -> bool:
    return path.suffix.lower() in TABLES and not (path.suffix.lower() == ".parquet" and holds_images(path))


def _refuse(given: Mapping[str, object], without_effect: Sequence[str], data: object, what: str) -> None:
    """Raises ``ValueError`` for an option that would be dropped."""
    for option in without_effect:
        if given[option] is not None:
            raise ValueError(f"{option}={given[option]!r} has no effect on {data}, which is {what}; leave it out")


def _layout_of(folder: Path, library: Library) -> str | None:
    """Returns the layout of a folder; None where it holds one table of its owner's instead.

    Raises:
        ValueError: If it holds neither, or several of either.
    """
    fitting = fitting_layouts(folder, library)
    if len(fitting) == 1:
        return fitting[0].name
    if fitting:
        names = ", ".join(layout.name for layout in fitting)
        raise ValueError(f"{folder} fits several layouts ({names}); name one")
    tables = _tables_of(folder, library)
    if len(tables) == 1:
        return None
    what = f"holds several tables ({', '.join(table.name for table in tables)}); name one" if tables else (
        "holds neither the score tables of a known layout nor a table with an image and a score column"
    )  # fmt: skip
    raise ValueError(f"{folder} {what}. Known layouts: {', '.join(list_layouts())}")


def _tables_of(folder: Path, library: Library) -> list[Path]:
    """Returns the tables in a folder that have an image and a score column."""
    found = []
    for path in sorted(file for file in folder.iterdir() if file.is_file() and file.suffix.lower() in TABLES):
        try:
            if not _holds_names(path):
                continue
            columns = library.table(path).columns
        except (ValueError, OSError):  # not every text file is a table
            continue
        found += [path] if {"image", "score"} <= set(find_roles(columns)) else []
    return found
