"""The one door to images and to their human scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from iqaloss._errors import check_choice, check_kinds, path_of, shown
from iqaloss.data.columns import columns_of, observed_scales
from iqaloss.data.layouts.reading import fitting_layouts, list_layouts, read_layout
from iqaloss.data.library import CHECKS, Library
from iqaloss.data.manifest import SCORE, Manifest
from iqaloss.data.rows import assemble
from iqaloss.data.scales import Scale
from iqaloss.data.sequences import holds_names, is_sequential, open_images
from iqaloss.data.sources import Files, Source, place_of
from iqaloss.data.tables import SUFFIXES as TABLES
from iqaloss.data.vocabulary import counts_degradation, find_roles, rivals

__all__ = ["SequentialSet", "open_images", "open_rated", "open_rows", "rated_source"]

_KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("splits", "dimensions"), (list, tuple)),
    **dict.fromkeys(("layout", "score_column", "name"), (str,)),
    **{"images": (str, Path), "scale": (Scale,), "lower_is_better": (bool,), "library": (Library,)},
}
_OF_TABLES = ("lower_is_better", "score_column", "dimensions")


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


def open_rated(
    data: str | Path,
    images: str | Path | None = None,
    *,
    layout: str | None = None,
    splits: Sequence[str] | None = None,
    scale: Scale | None = None,
    lower_is_better: bool | None = None,
    score_column: str | None = None,
    dimensions: Sequence[str] | None = None,
    name: str | None = None,
    skip_bad: bool = False,
    check: str = "header",
    library: Library | None = None,
) -> Manifest | SequentialSet:
    """Opens images with human scores: a table, a published set, or shards.

    A table (.csv, .tsv, .txt, .xlsx, .parquet) needs an image and a score column; ``std``, ``reference``, ``prompt``,
    ``split`` and ``group`` are read where they are, and every other column of numbers is a dimension, of the rows in
    which it is not empty (:meth:`~iqaloss.data.manifest.Manifest.with_target`).
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
            a column is turned round whose name says that it counts degradation, such as ``DMOS``.
        score_column: Name of the column of human scores; by default the best name of the vocabulary, in which ``mos``
            comes before ``score``. ``Manifest.taken`` says which it was.
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
    given = {
        "images": images,
        "layout": layout,
        "splits": splits,
        "scale": scale,
        "lower_is_better": lower_is_better,
        "score_column": score_column,
        "dimensions": dimensions,
    }
    check_kinds({**given, "name": name, "library": library}, _KINDS)
    check_choice("check", check, CHECKS)
    path, known = path_of("data", data), library or Library()
    if layout is None and is_sequential(path):
        _refuse(given, ("layout", "splits", "scale", *_OF_TABLES), data, "read in sequence")
        return SequentialSet(name or path.name.split(".")[0].strip("*") or "data", open_images(data, images))
    if path.is_dir():
        chosen = layout or _layout_of(path, known)
        if chosen is not None:
            _refuse(given, ("images", *_OF_TABLES), data, f"in the published layout {chosen}")
            manifest = read_layout(chosen, path, splits=splits, skip_bad=skip_bad, check=check, library=known)
            manifest = manifest if name is None else replace(manifest, name=name)
            return manifest if scale is None else replace(manifest, scale=scale, dimension_scales={})
        images, path = images or path, _tables_of(path, known)[0]
    _refuse(given, ("layout",), data, "a table, and a layout is that of a folder")
    if scale is not None:
        _refuse(given, ("lower_is_better",), data, f"given with its scale, {scale}, which says the direction")
    table = known.table(path)
    columns, score = columns_of(table, dimensions, score_column)
    folder = Path(images) if images is not None else path.parent
    manifest = assemble(
        columns,
        partial(place_of, folder),
        name=name or path.stem,
        scale=scale,
        lower_is_better=counts_degradation(score) if lower_is_better is None else lower_is_better,
        dimension_scales={} if scale is not None else observed_scales(columns),
        skip_bad=skip_bad,
        check=check,
        library=known,
    )
    others = rivals(table.columns, score)
    end = "low" if manifest.scale.best < manifest.scale.worst else "high"
    taken = f"{table.source}: human scores are the column {score!r}, of which {end} is good"
    manifest = replace(manifest, taken=taken + (f", not {', '.join(map(repr, others))}" if others else ""))
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


def rated_source(manifest: Manifest, dimension: str | None = None, skip_bad: bool = False) -> Source:
    """Returns a manifest's images with their human scores on the table's scale, turned so that higher is better.

    Raises:
        ManifestError: If a row has no score of the dimension and ``skip_bad`` is false.
    """
    name = dimension or SCORE
    manifest = manifest.with_target(name, skip_bad)
    scale = manifest.scale if dimension is None else manifest.dimension_scales.get(name, manifest.scale)
    target = min(scale.worst, scale.best) + manifest.target(name) * abs(scale.best - scale.worst)
    return Files(manifest.images, target.tolist(), manifest.groups, manifest.prompts)


def _refuse(given: Mapping[str, object], without_effect: Sequence[str], data: object, what: str) -> None:
    """Raises ``ValueError`` for an option that would be dropped."""
    for option in without_effect:
        if given[option] is not None:
            raise ValueError(f"{option}={shown(given[option])} has no effect on {data}, which is {what}; leave it out")


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
            if not holds_names(path):
                continue
            columns = library.table(path).columns
        except (ValueError, OSError):  # not every text file is a table
            continue
        found += [path] if {"image", "score"} <= set(find_roles(columns)) else []
    return found
