"""Images in a sequence that can be read again: files, folders, lists, and several of them one after the other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from iqaloss.data.folders import LeftOut, Locked, walk
from iqaloss.data.tables import Table, read_table
from iqaloss.data.text_tables import check_width, open_text, text_rows, to_float
from iqaloss.data.vocabulary import counts_degradation, find_roles, missing_column

Content = str | Path | bytes


@dataclass(frozen=True)
class Item:
    """One image to score.

    Attributes:
        key: What it is called in the results.
        read: Returns its file or its bytes.
        origin: The file that it comes from; when that changes, scores of it are no longer trusted.
        target: Its human score, where the source has it; higher is better.
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
"""Items that can be read again from its start, in the same order."""


def file_item(
    key: str, path: Path, target: float | None = None, group: str | None = None, prompt: str | None = None
) -> Item:
    """Returns the item of an image file."""
    return Item(key, partial(itself, path), path, target, group, prompt)


def place_of(folder: Path, name: str) -> Path:
    r"""Returns the file of a name in a table: below a folder, with the slashes of Windows where there is none else.

    Example:
        >>> place_of(Path("photos"), "day 1\\a.png").as_posix()
        'photos/day 1/a.png'
    """
    path = folder / name
    return folder / name.replace("\\", "/") if "\\" in name and not path.exists() else path


def itself(content: Content) -> Content:
    """Returns what it is given: a reader that can be pickled."""
    return content


def bad_item(key: str, problem: str, origin: Path | None = None) -> Item:
    """Returns the item of something that cannot be read, so that it is listed with the bad images.

    Example:
        >>> bad_item("locked/", "the folder cannot be read").key
        'locked/'
    """
    return Item(key, partial(_refuse, problem), origin)


def _refuse(problem: str) -> Content:
    raise ValueError(problem)


def target_of(column: str | None, value: object) -> float | None:
    """Returns a human score of which higher is better, or None where there is no number.

    A degradation score (DMOS) is turned round by its sign.

    Example:
        >>> target_of("MOS", "3,5"), target_of("dmos", 20), target_of("mos", "")
        (3.5, -20.0, None)
    """
    if column is None or value is None or value == "":
        return None
    number = to_float(value)
    if not math.isfinite(number):
        return None
    return -number if counts_degradation(column) else number


@dataclass(frozen=True)
class Files:
    """Files that are known by their paths, with their labels where there are any."""

    paths: Sequence[Path]
    targets: Sequence[float] | None = None
    groups: Sequence[str] | None = None
    prompts: Sequence[str] | None = None

    def __iter__(self) -> Iterator[Item]:
        for row, path in enumerate(self.paths):
            yield file_item(
                str(path),
                path,
                None if self.targets is None else float(self.targets[row]),
                None if self.groups is None else self.groups[row],
                None if self.prompts is None else self.prompts[row],
            )


@dataclass(frozen=True)
class Folder:
    """Every image below a folder, in the order of the names; knows after a walk what it left out."""

    root: Path
    left_out: LeftOut = field(default_factory=LeftOut, compare=False)

    def __iter__(self) -> Iterator[Item]:
        self.left_out.clear()
        for found in walk(self.root, self.left_out):
            if isinstance(found, Locked):
                yield bad_item(found.path.relative_to(self.root).as_posix() + "/", found.problem, self.root)
            else:
                yield file_item(found.relative_to(self.root).as_posix(), found)


@dataclass(frozen=True)
class ListFile:
    """A table with an image column (and human scores), or a text file with an image a line."""

    path: Path
    images: Path

    def __iter__(self) -> Iterator[Item]:
        rows = self._rows()
        _, names = next(rows, (1, []))
        roles = find_roles(names)
        if "image" not in roles:
            if self.path.suffix.lower() != ".txt":
                raise missing_column(str(self.path), "image", names)
            yield from self._lines()
            return
        place = {role: names.index(name) for role, name in roles.items()}
        for line, cells in rows:
            check_width(self.path, line, cells, names)
            found = {role: cells[index] if index < len(cells) else "" for role, index in place.items()}
            if name := str(found["image"] or "").strip():
                target = target_of(roles.get("score"), found.get("score"))
                yield file_item(
                    name, place_of(self.images, name), target, found.get("group") or None, found.get("prompt") or None
                )

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yields the header and the rows with their lines; a text file is never held whole."""
        if self.path.suffix.lower() != ".xlsx":
            yield from text_rows(self.path)
            return
        yield 1, list(self._workbook.columns)
        for line, cells in zip(self._workbook.lines, zip(*self._workbook.columns.values())):
            yield line, ["" if cell is None else str(cell) for cell in cells]

    @cached_property
    def _workbook(self) -> Table:
        """A workbook, read once however often it is gone through: parsing takes longer than an image."""
        return read_table(self.path)

    def _lines(self) -> Iterator[Item]:
        with open_text(self.path) as file:
            for line in file:
                if name := line.strip():
                    yield file_item(name, place_of(self.images, name))


@dataclass(frozen=True)
class Chain:
    """Several sources, one after the other."""

    sources: tuple[Source, ...]

    def __iter__(self) -> Iterator[Item]:
        for source in self.sources:
            yield from source


def left_out(source: Source) -> list[str]:
    """Returns what each folder of a source held beside pictures, when it was last gone through.

    Example:
        >>> left_out(Chain((Folder(Path("photos")),)))
        []
    """
    if isinstance(source, Chain):
        return [text for one in source.sources for text in left_out(one)]
    return [f"{source.root}: {source.left_out}"] if isinstance(source, Folder) and str(source.left_out) else []
