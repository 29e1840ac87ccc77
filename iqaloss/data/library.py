"""What a run has read: each table once, and each image's header once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from iqaloss._errors import check_choice
from iqaloss.data.images import open_image, opened, size_of
from iqaloss.data.tables import Table, read_table

CHECKS = ("none", "exists", "header", "decode")
"""How hard to look at an image file: not at all, is it there, does it open, does it decode."""


class Library:
    """Tables and image checks that are shared by everything which a run opens.

    A recipe of ten data sets over one table so reads the table once and opens each image's header once. What is
    remembered is as old as the library: a run that changes its own files opens a new one.

    Example:
        >>> library = Library()
        >>> library.problem(Path("no such image.png"), "exists")
        'no such file: no such image.png'
    """

    def __init__(self) -> None:
        self._tables: dict[tuple[Path, Callable[[Path], Table]], Table] = {}
        self._problems: dict[tuple[Path, str], str | None] = {}
        self._sizes: dict[Path, tuple[int, int]] = {}

    def table(self, path: Path, read: Callable[[Path], Table] = read_table) -> Table:
        """Returns a table, read when it is first asked for.

        Args:
            path: The file.
            read: What reads it; by its suffix by default.
        """
        key = (path, read)
        if key not in self._tables:
            self._tables[key] = read(path)
        return self._tables[key]

    def size(self, path: Path) -> tuple[int, int]:
        """Returns height and width of an image, out of its header."""
        if path not in self._sizes:
            self._sizes[path] = size_of(path)
        return self._sizes[path]

    def problem(self, path: Path, check: str) -> str | None:
        """Returns what is wrong with an image file, or None.

        Args:
            path: The file.
            check: How hard to look, out of :data:`CHECKS`.
        """
        key = (path, check_choice("check", check, CHECKS))
        if key not in self._problems:
            self._problems[key] = problem_of(path, check)
        return self._problems[key]


def problem_of(path: Path, check: str) -> str | None:
    """Returns what is wrong with an image file, or None."""
    if check == "none":
        return None
    if not path.is_file():
        return f"no such file: {path}"
    if check == "exists":
        return None
    try:
        if check == "decode":
            open_image(path)
        else:
            with opened(path):
                pass
    except Exception as error:
        return f"unreadable image: {error}"
    return None
