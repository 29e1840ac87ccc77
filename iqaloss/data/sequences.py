"""Images that a path or a pattern names, read in sequence."""

from __future__ import annotations

import glob
from pathlib import Path

from iqaloss._errors import path_of
from iqaloss.data.folders import expand_braces, walk
from iqaloss.data.parquet import ParquetFiles, holds_images
from iqaloss.data.shards import Shards
from iqaloss.data.sources import Chain, Files, Folder, ListFile, Source
from iqaloss.data.tables import SUFFIXES as TABLES

_SHARDS = (".tar", ".tar.gz", ".tgz")


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
    path = path_of("spec", spec)
    images = None if images is None else path_of("images", images)
    if images is not None and (path.is_dir() or (path.is_file() and not holds_names(path))):
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
    return any(isinstance(found, Path) for found in walk(folder))


def holds_names(path: Path) -> bool:
    """Whether a file is a list or a table of images, and does not hold them itself."""
    return path.suffix.lower() in TABLES and not (path.suffix.lower() == ".parquet" and holds_images(path))
