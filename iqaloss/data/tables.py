"""Tables as they lie on disk (CSV, text, Parquet, Excel, MATLAB), read into plain columns."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iqaloss._errors import optional, unknown_name
from iqaloss.data.text_tables import check_width, text_rows
from iqaloss.data.vocabulary import find_column

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx")


@dataclass(frozen=True)
class Table:
    """Columns of equal length under the names that the file gives them.

    Attributes:
        source: The file, for messages.
        columns: Name to values; strings from text files, what the file holds from others.
        lines: Line of each row in the file; the row's number, from 1, where the file has no lines.
    """

    source: str
    columns: dict[str, list[Any]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> list[Any]:
        """Returns a column by its name; letter case, spaces, underscores and hyphens do not matter.

        Raises:
            ValueError: If there is no such column.
        """
        return self.columns[self.own_name(name)]

    def own_name(self, name: str) -> str:
        """Returns what the table calls a column; raises ``ValueError`` if there is no such column."""
        found = self.find(name)
        if found is None:
            raise ValueError(f"{self.source}: {unknown_name('column', name, self.columns)}")
        return found

    def find(self, *names: str) -> str | None:
        """Returns the table's own name of the first of the given columns that it has, or None."""
        return find_column(self.columns, *names)


def read_table(path: str | Path, header: Sequence[str] | None = None) -> Table:
    """Reads a table by its suffix.

    Args:
        path: A .csv, .tsv or .txt file (tabs, semicolons, bars, commas or spaces between cells), a .parquet or an
            .xlsx file.
        header: Names of the columns of a text file without a header line.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the suffix is unknown or the table has no rows.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such table: {path}")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"cannot read a table from {path.name!r}; it must end in one of {', '.join(SUFFIXES)}")
    if suffix == ".parquet":
        table = _read_parquet(path)
    elif suffix == ".xlsx":
        table = read_excel(path)
    else:
        table = read_text(path, header)
    if not len(table):
        raise ValueError(f"{path} has no rows")
    return table


def read_text(path: Path, header: Sequence[str] | None = None) -> Table:
    """Reads a separated text file; the separator is the one that fits its lines (see :mod:`.text_tables`)."""
    rows = list(text_rows(path))
    names = list(header) if header is not None else (rows.pop(0)[1] if rows else [])
    for line, cells in rows:
        check_width(path, line, cells, names)
    columns: dict[str, list[Any]] = {}
    for index, name in enumerate(names):
        if name and name not in columns:
            columns[name] = [cells[index] if index < len(cells) else "" for _, cells in rows]
    return Table(str(path), columns, [line for line, _ in rows])


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Names a Parquet file where its own reader does not."""
    try:
        yield
    except (ValueError, OSError) as error:
        if str(path) in str(error) or isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} is no Parquet file that can be read: {error}") from error


def parquet_module() -> Any:
    """Returns ``pyarrow.parquet``, imported when first needed."""
    return optional("pyarrow.parquet", "pyarrow", "train", "reading and writing Parquet")


def _read_parquet(path: Path) -> Table:
    with named(path):
        loaded = parquet_module().read_table(path)
    return Table(str(path), loaded.to_pydict(), list(range(1, loaded.num_rows + 1)))


def read_excel(path: Path, sheet: str | None = None, marker: str | None = None) -> Table:
    """Reads a sheet of an Excel workbook.

    Args:
        path: The workbook.
        sheet: Name of the sheet; the first by default.
        marker: Name of a column by which the header row is found, where it is not the first row.
    """
    openpyxl = optional("openpyxl", "openpyxl", "train", "reading an Excel table")
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no Excel workbook that can be read: {error}") from error
    try:
        if sheet is not None and sheet not in book.sheetnames:
            raise ValueError(f"{path}: {unknown_name('sheet', sheet, book.sheetnames)}")
        page = book[sheet] if sheet is not None else book.worksheets[0]
        rows = [(line, list(cells)) for line, cells in enumerate(page.iter_rows(values_only=True), start=1)]
    finally:
        book.close()
    rows = [(line, cells) for line, cells in rows if any(cell is not None for cell in cells)]
    while rows and marker is not None and marker not in rows[0][1]:
        rows.pop(0)
    if not rows:
        raise ValueError(f"{path} has no header row" + (f" with a column {marker!r}" if marker else ""))
    names = rows.pop(0)[1]
    columns: dict[str, list[Any]] = {}
    for index, name in enumerate(names):
        if name is not None and str(name) not in columns:
            columns[str(name)] = [cells[index] if index < len(cells) else None for _, cells in rows]
    return Table(str(path), columns, [line for line, _ in rows])


def read_matlab(path: Path, name: str) -> list[Any]:
    """Reads a variable of a MATLAB file as a flat list; cells of text become strings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has no such variable.
    """
    loadmat = optional("scipy.io", "scipy", "train", "reading a MATLAB file").loadmat
    if not path.is_file():
        raise FileNotFoundError(f"no such table: {path}")
    loaded = loadmat(path)
    if name not in loaded:
        known = [key for key in loaded if not key.startswith("__")]
        raise ValueError(f"{path}: {unknown_name('variable', name, known)}")
    values = loaded[name].reshape(-1)
    if values.dtype == object:
        return [str(cell.reshape(-1)[0]) if getattr(cell, "size", 0) else "" for cell in values]
    return list(values.tolist())
