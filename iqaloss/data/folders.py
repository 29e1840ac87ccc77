"""Files below a folder in the order of their names, however many there are."""

from __future__ import annotations

import heapq
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from iqaloss.data.images import SUFFIXES

SORTED_AT_ONCE = 100_000
"""Most names of a folder that are sorted in memory; more are sorted in runs on disk."""


def walk_images(folder: Path) -> Iterator[Path]:
    """Yields every image file below a folder, in the order of the names."""
    for name in sorted_names(folder):
        path = folder / name.rstrip("/")
        if name.endswith("/"):
            yield from walk_images(path)
        elif path.suffix.lower() in SUFFIXES:
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
