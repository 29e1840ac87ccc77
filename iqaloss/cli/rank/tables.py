"""What the ranking commands share: tables of votes in, tables out."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from iqaloss.cli.display import show

VOTES_HELP = "Table with a vote a row (winner,loser; perhaps image,subject,group,tie), or of RealSR-1K's layout."
SPAN = "{:.3f} to {:.3f}"

VotesFile = Annotated[Path, typer.Argument(metavar="VOTES", help=VOTES_HELP)]
Voters = Annotated[int | None, typer.Option(help="Voters behind a table of shares; found from the shares by default.")]
Bootstrap = Annotated[int, typer.Option(help="Resamples for the 95 % intervals; 0 for none.")]
Seed = Annotated[int, typer.Option(help="Seed of the resamples.")]
Folders = Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Outputs, a folder for each method.")]


def by_method(folders: Sequence[Path]) -> dict[str, Path]:
    """Returns method to folder: a folder's name is its method's."""
    named = {folder.resolve().name: folder for folder in folders}
    if len(named) < len(folders):
        raise ValueError(f"folders are methods and need names of their own, got {', '.join(map(str, folders))}")
    return named


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as CSV."""
    from iqaloss._files import write_text

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def show_whole(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Prints rows as a table, whole numbers as they are."""
    show(
        [{name: str(value) if isinstance(value, int) else value for name, value in row.items()} for row in rows], title
    )
