"""What is said of a layout in which a rated image set is published."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from iqaloss.data.scales import Scale
from iqaloss.data.tables import Table


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


def stem(name: str) -> str:
    """Returns a file's name without folders and suffix, whichever slashes the table uses.

    Example:
        >>> stem("folder\\\\I01_01_1.bmp")
        'I01_01_1'
    """
    return name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
