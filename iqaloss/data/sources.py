"""Where images come from: folders, lists, Parquet files and WebDataset shards, read as a stream."""

from __future__ import annotations

import glob
import heapq
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

from iqaloss._errors import missing_package
from iqaloss.data import images

Content = str | Path | bytes

SORTED_AT_ONCE = 100_000
"""Most names of a folder that are sorted in memory; more are sorted in runs on disk."""

IMAGE_COLUMNS = ("image", "image_name", "image_path", "path", "file", "filename", "file_name", "jpg", "png")
SCORE_COLUMNS = ("score", "mos", "quality_mos")


@dataclass(frozen=True)
class Item:
    """One image to score.

    Attributes:
        key: What it is called in the results.
        read: Returns its file or its bytes.
        origin: The file that it comes from; when that changes, scores of it are no longer trusted.
        target: Its human score, where the source has it.
        group: Its group, where the source has it.
        prompt: The prompt that made it, where the source has it.
    """

    key: str
    read: Callable[[], Content]
    origin: Path | None = None
    target: float | None = None
    group: str | None = None
    prompt: str | None = None


Source = Iterable[Item]
"""A stream of items that can be read again from its start, in the same order."""


@dataclass(frozen=True)
class Files:
    """Files that are known by their paths, with their labels where there are any."""

    paths: Sequence[Path]
    targets: Sequence[float] | None = None
    groups: Sequence[str] | None = None
    prompts: Sequence[str] | None = None

    def __iter__(self) -> Iterator[Item]:
        for row, path in enumerate(self.paths):
            yield Item(
                str(path),
                partial(_itself, path),
                path,
                None if self.targets is None else float(self.targets[row]),
                None if self.groups is None else self.groups[row],
                None if self.prompts is None else self.prompts[row],
            )


@dataclass(frozen=True)
class Folder:
    """Every image below a folder, in the order of the names."""

    root: Path

    def __iter__(self) -> Iterator[Item]:
        for path in _walk(self.root):
            yield Item(path.relative_to(self.root).as_posix(), partial(_itself, path), path)


@dataclass(frozen=True)
class ListFile:
    """A text file with an image a line, or a CSV file with an image column (and a score column)."""

    path: Path
    images: Path

    def __iter__(self) -> Iterator[Item]:
        import csv

        with self.path.open(newline="", encoding="utf-8-sig") as file:
            if self.path.suffix.lower() == ".txt":
                for line in file:
                    if name := line.strip():
                        yield Item(name, partial(_itself, self.images / name), self.images / name)
                return
            reader = csv.DictReader(file, delimiter="\t" if self.path.suffix.lower() == ".tsv" else ",")
            image = find_column(reader.fieldnames or (), IMAGE_COLUMNS)
            if image is None:
                raise ValueError(f"{self.path}: no image column among {', '.join(reader.fieldnames or ())}")
            score = find_column(reader.fieldnames or (), SCORE_COLUMNS)
            for row in reader:
                if name := (row[image] or "").strip():
                    target = float(row[score]) if score is not None and row[score] else None
                    yield Item(name, partial(_itself, self.images / name), self.images / name, target)


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files with a column of image files, or of encoded images (bytes, or a struct with bytes)."""

    paths: tuple[Path, ...]
    images: Path | None = None

    def __iter__(self) -> Iterator[Item]:
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise missing_package("pyarrow", "train", "reading Parquet") from error
        for path in self.paths:
            with parquet.ParquetFile(path) as file:
                names = file.schema_arrow.names
                image = find_column(names, IMAGE_COLUMNS)
                if image is None:
                    raise ValueError(f"{path}: no image column among {', '.join(names)}")
                columns = {"image": image, "score": find_column(names, SCORE_COLUMNS)}
                columns |= {name: find_column(names, (name,)) for name in ("group", "prompt")}
                wanted = [name for name in columns.values() if name is not None]
                row = 0
                for batch in file.iter_batches(batch_size=64, columns=wanted):
                    for values in batch.to_pylist():
                        found = {role: None if name is None else values[name] for role, name in columns.items()}
                        yield self._item(path, row, found)
                        row += 1

    def _item(self, path: Path, row: int, values: dict[str, Any]) -> Item:
        image, name = values["image"], f"{path.name}:{row}"
        if isinstance(image, dict):
            name = image.get("path") or name
            image = image.get("bytes") or image.get("path")
        if isinstance(image, str):
            name, image = image, (self.images or path.parent) / image
        origin = image if isinstance(image, Path) else path
        target = None if values["score"] is None else float(values["score"])
        return Item(name, partial(_itself, image), origin, target, values["group"], values["prompt"])


@dataclass(frozen=True)
class Shards:
    """WebDataset shards: tar files in which a sample's image may stand beside a ``.json`` with its score."""

    paths: tuple[Path, ...]

    def __iter__(self) -> Iterator[Item]:
        from iqaloss.data.shards import read_shard

        for path in self.paths:
            for sample in read_shard(path):
                key = f"{path.name}/{sample.name}"
                yield Item(key, sample.read, path, sample.target, sample.group, sample.prompt)


@dataclass(frozen=True)
class Chain:
    """Several sources, one after the other."""

    sources: tuple[Source, ...]

    def __iter__(self) -> Iterator[Item]:
        for source in self.sources:
            yield from source


def open_source(spec: str | Path, folder: str | Path | None = None) -> Source:
    """Returns the source that a path or pattern names.

    Args:
        spec: An image, a folder (of images, of .tar shards or of .parquet files), a list (.txt, .csv, .tsv), a
            .parquet or .tar file, or a pattern of them with ``*`` or ``{000..123}``.
        folder: Folder that the names in lists and Parquet files are relative to; the file's own by default.

    Raises:
        FileNotFoundError: If nothing is there.

    Example:
        >>> open_source("shards/train-{000..063}.tar")  # doctest: +SKIP
    """
    path = Path(spec)
    if path.is_dir():
        for suffix, make in ((".tar", Shards), (".parquet", ParquetFiles)):
            inside = tuple(sorted(file for file in path.iterdir() if file.name.endswith(suffix)))
            if inside:
                return make(inside)
        return Folder(path)
    if not path.is_file():
        matches = [Path(name) for pattern in expand_braces(str(spec)) for name in sorted(glob.glob(pattern))]
        if not matches:
            raise FileNotFoundError(f"no image or folder at {spec}, nor does it match as a pattern")
        return Chain(tuple(open_source(match, folder) for match in matches))
    base = Path(folder) if folder is not None else path.parent
    suffix = path.suffix.lower()
    if suffix in (".txt", ".csv", ".tsv"):
        return ListFile(path, base)
    if suffix == ".parquet":
        return ParquetFiles((path,), base)
    if path.name.endswith((".tar", ".tar.gz", ".tgz")):
        return Shards((path,))
    return Files((path,))


def expand_braces(pattern: str) -> list[str]:
    """Expands a range of numbers in braces, as WebDataset writes it.

    Example:
        >>> expand_braces("a-{08..10}.tar")
        ['a-08.tar', 'a-09.tar', 'a-10.tar']
    """
    match = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if match is None:
        return [pattern]
    first, last = match[1], match[2]
    numbers = [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]
    return [
        name for number in numbers for name in expand_braces(pattern[: match.start()] + number + pattern[match.end() :])
    ]


def _itself(content: Content) -> Content:
    return content


def find_column(names: Iterable[str], wanted: Sequence[str]) -> str | None:
    """Returns the first of the wanted columns, whatever its letter case and separators; None if there is none."""
    own = {"".join(char for char in name.lower() if char not in " _-"): name for name in names}
    return next((own[name.replace("_", "")] for name in wanted if name.replace("_", "") in own), None)


def _walk(folder: Path) -> Iterator[Path]:
    for name in sorted_names(folder):
        path = folder / name.rstrip("/")
        if name.endswith("/"):
            yield from _walk(path)
        elif path.suffix.lower() in images.SUFFIXES:
            yield path


def sorted_names(folder: Path, at_once: int = SORTED_AT_ONCE) -> Iterator[str]:
    """Yields the names in a folder in order, those of folders with a slash at the end.

    Memory is bounded by ``at_once`` names: more of them are sorted in runs on disk.
    """
    with ExitStack() as stack:
        runs: list[IO[bytes]] = []
        names: list[bytes] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                names.append(os.fsencode(entry.name) + (b"/" if entry.is_dir() else b""))
                if len(names) == at_once:
                    run = stack.enter_context(tempfile.TemporaryFile())
                    run.writelines(name + b"\0" for name in sorted(names))
                    run.seek(0)
                    runs.append(run)
                    names = []
        for name in heapq.merge(*(_names(run) for run in runs), sorted(names)):
            yield os.fsdecode(name)


def _names(run: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := run.read(1 << 16):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole
