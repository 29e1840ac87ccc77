"""Separated text, read row by row: which separator it has, its header, its rows with their lines."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SEPARATORS = ("\t", ";", "|", ",")
"""What may stand between cells, beside spaces; a comma last, as it is also a decimal sign."""

_LOOKED_AT = 20


def sniff_separator(lines: Sequence[str]) -> str | None:
    """Returns the separator of a table's first lines; None where only spaces stand between cells.

    It is the one that cuts the most lines into as many cells as the first one, which must have at least two.

    Example:
        >>> sniff_separator(["filename;MOS", "a.png;3,5", "b.png;4,25"])
        ';'
    """
    best: tuple[float, str | None] = (0.0, None)
    for separator in SEPARATORS:
        counts = [len(cells) for cells in csv.reader(lines, delimiter=separator)]
        if not counts or counts[0] < 2:
            continue
        fitting = sum(count == counts[0] for count in counts) / len(counts)
        if fitting > best[0]:
            best = (fitting, separator)
    return best[1]


def text_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yields the rows of a separated text file that are not empty, each with its line; the first line is 1.

    A row that spans lines (a quoted line break) is known by its first line.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = [line for line in itertools.islice(file, _LOOKED_AT) if line.strip()]
        separator = sniff_separator(first)
        file.seek(0)
        if separator is None:
            # A first line of one word begins a single column, whose cells may hold spaces.
            whole = bool(first) and len(first[0].split()) == 1
            found: Iterator[tuple[int, list[str]]] = (
                (line, [text] if whole else text.split()) for line, text in enumerate(file, start=1)
            )
        else:
            found = _separated(file, separator)
        for line, cells in found:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                yield line, stripped


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
