"""Separated text, read row by row: which separator it has, its header, its rows with their lines."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
from numpy.typing import NDArray

from iqaloss.data.vocabulary import find_roles

SEPARATORS = ("\t", ";", "|", ",")
"""What may stand between cells, beside spaces; a comma last, as it is also a decimal sign."""

_LOOKED_AT = 20


def sniff_separator(lines: Sequence[str]) -> str | None:
    """Returns the separator of a table's first lines; None where only spaces stand between cells.

    It is the one that cuts the most lines into as many cells as the first one, which must have at least two; of those
    that cut equally many, the one whose first line names the most columns that are known.

    Example:
        >>> sniff_separator(["filename;MOS", "a.png;3,5", "b.png;4,25"])
        ';'
    """
    best: tuple[tuple[float, int], str | None] = ((0.0, 0), None)
    for separator in SEPARATORS:
        rows = list(csv.reader(lines, delimiter=separator))
        if not rows or len(rows[0]) < 2:
            continue
        fitting = sum(len(cells) == len(rows[0]) for cells in rows) / len(rows)
        value = (fitting, len(find_roles(cell.strip() for cell in rows[0])))
        if value > best[0]:
            best = (value, separator)
    return best[1]


def text_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a separated text file that are not empty, each with its line; the first line is 1.

    A row that spans lines (a quoted line break) is known by its first line.

    Raises:
        ValueError: If the file is no text in UTF-8 (or in UTF-16 with its mark), or a cell is longer than
            Python's module allows; names the file, the line and what it may be.
    """
    line = 0
    try:
        with open_text(path) as file:
            for line, cells in _rows(file):
                stripped = [cell.strip() for cell in cells]
                if any(stripped):
                    yield line, stripped
    except csv.Error as error:
        raise ValueError(f"{path} after line {line}: {error}") from error


def open_text(path: Path) -> TextIO:
    """Opens a text file in the encoding that its first bytes tell: UTF-8, or UTF-16 with its mark.

    Raises:
        ValueError: When it is read, if it is neither; names the file.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    encoding = "utf-16" if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return _Named(path.open("rb"), path, encoding)


class _Named(io.TextIOWrapper):
    """Text that names its file where it cannot be decoded."""

    def __init__(self, raw: BinaryIO, path: Path, encoding: str) -> None:
        self.path = path
        super().__init__(raw, encoding=encoding, newline="")

    def readline(self, *size: int) -> str:  # type: ignore[override]
        """Reads a line."""
        try:
            return super().readline(*size)
        except UnicodeError as error:
            raise self._problem(error) from error

    def __next__(self) -> str:  # type: ignore[override]
        try:
            return super().__next__()
        except UnicodeError as error:
            raise self._problem(error) from error

    def _problem(self, error: UnicodeError) -> ValueError:
        with self.path.open("rb") as file:
            even = file.read(512)[1::2]
        likely = "UTF-16 without its mark" if even.count(0) > len(even) // 2 else "Latin-1 or Windows-1252"
        return ValueError(f"{self.path} is no UTF-8 text ({error}); it may be {likely}: save it as UTF-8")


def _rows(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    first = [line for line in itertools.islice(file, _LOOKED_AT) if line.strip() and len(line) < csv.field_size_limit()]
    separator = sniff_separator(first)
    file.seek(0)
    if separator is not None:
        yield from _separated(file, separator)
        return
    # A first line of one word begins a single column, whose cells may hold spaces.
    whole = bool(first) and len(first[0].split()) == 1
    for line, text in enumerate(file, start=1):
        yield line, [text] if whole else text.split()


def _separated(file: Iterable[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    reader, start = csv.reader(file, delimiter=separator), 1
    for cells in reader:
        yield start, cells
        start = reader.line_num + 1


def to_float(value: Any) -> float:
    """Returns a cell as a number, NaN where it is none; text may have a decimal comma.

    Where a cell has both signs, the last one is the decimal sign and the other one groups thousands.

    Example:
        >>> to_float("3,25"), to_float(" 4.5 "), to_float("1.234,5"), to_float("1,234.5")
        (3.25, 4.5, 1234.5, 1234.5)
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        if not isinstance(value, str):
            return float("nan")
    decimal, group = (",", ".") if value.rfind(",") > value.rfind(".") else (".", ",")
    try:
        return float(value.replace(group, "").replace(decimal, ".")) if value.count(decimal) < 2 else float("nan")
    except ValueError:
        return float("nan")


def check_width(path: Path, line: int, cells: Sequence[str], names: Sequence[str]) -> None:
    """Raises ``ValueError`` for a row with more cells than the header has, as an unquoted decimal comma makes."""
    if any(cells[len(names) :]):
        raise ValueError(
            f"{path} line {line}: {len(cells)} cells under {len(names)} columns ({', '.join(names)}); "
            "quote cells that hold the separator, such as numbers with a decimal comma"
        )


def to_floats(values: Sequence[Any]) -> NDArray[np.float64]:
    """Converts a column to float64; what is no number becomes NaN (see :func:`to_float`)."""
    return np.array([to_float(value) for value in values], dtype=np.float64)
