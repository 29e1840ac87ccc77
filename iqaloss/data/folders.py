"""Files below a folder in the order of their names, however many there are."""

from __future__ import annotations

import heapq
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import IO

from iqaloss.data.images import is_picture

SORTED_AT_ONCE = 100_000
"""Most names of a folder that are sorted in memory; more are sorted in runs on disk."""


@dataclass
class LeftOut:
    """What a walk did not take for pictures: how many files of each suffix, and the first of each."""

    count: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """Notes a file, unless its name begins with a dot, as those of systems do."""
        if not name.startswith("."):
            suffix = PurePath(name).suffix.lower() or "without suffix"
            self.count[suffix] += 1
            self.first.setdefault(suffix, name)

    def clear(self) -> None:
        """Forgets everything, before another walk."""
        self.count.clear()
        self.first.clear()

    def __str__(self) -> str:
        """Returns ``"2 .heic (a.heic, ...), 1 .tar (b.tar)"``; empty where nothing was left out."""
        return ", ".join(
            f"{count} {suffix} ({self.first[suffix]}{', ...' * (count > 1)})" for suffix, count in self.count.items()
        )


@dataclass(frozen=True)
class Locked:
    """A folder that could not be read, in the place of the images below it."""

    path: Path
    problem: str


def walk(folder: Path, left_out: LeftOut | None = None) -> Iterator[Path | Locked]:
    """Yields every image file below a folder, in the order of the names; each folder once, whatever links to it.

    Args:
        folder: The folder.
        left_out: Told of the other files.

    Raises:
        OSError: If the folder itself cannot be read.
    """
    yield from _walk(folder, LeftOut() if left_out is None else left_out, {_identity(folder)})


def walk_images(folder: Path) -> Iterator[Path]:
    """Yields every image file below a folder as :func:`walk` does.

    Raises:
        PermissionError: If a folder below cannot be read.
    """
    for found in walk(folder):
        if isinstance(found, Locked):
            raise PermissionError(f"{found.path}: {found.problem}")
        yield found


def _walk(folder: Path, left_out: LeftOut, seen: set[tuple[int, int]]) -> Iterator[Path | Locked]:
    for name in sorted_names(folder):
        path = folder / name.rstrip("/")
        if name.endswith("/"):
            identity = _identity(path)
            if identity not in seen:
                seen.add(identity)
                yield from _below(path, left_out, seen)
        elif is_picture(name) and (path.is_file() or not path.exists()):  # a pipe would wait for ever
            yield path
        else:
            left_out.add(name)


def _below(folder: Path, left_out: LeftOut, seen: set[tuple[int, int]]) -> Iterator[Path | Locked]:
    try:
        yield from _walk(folder, left_out, seen)
    except PermissionError as error:
        yield Locked(folder, f"the folder cannot be read: {error.strerror}")


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def sorted_names(folder: Path, at_once: int = SORTED_AT_ONCE) -> Iterator[str]:
    """Yields the names in a folder in order, those of folders with a slash at the end.

    Memory is bounded by ``at_once`` names: more of them are sorted in runs on disk.
    """
    with ExitStack() as stack:
        runs: list[IO[bytes]] = []
        names: list[bytes] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                names.append(os.fsencode(entry.name) + (b"/" if _is_folder(entry) else b""))
                if len(names) == at_once:
                    run = stack.enter_context(tempfile.TemporaryFile())
                    run.writelines(name + b"\0" for name in sorted(names))
                    run.seek(0)
                    runs.append(run)
                    names = []
        for name in heapq.merge(*(_names(run) for run in runs), sorted(names)):
            yield os.fsdecode(name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _names(run: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while block := run.read(1 << 16):
        *whole, rest = (rest + block).split(b"\0")
        yield from whole


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
