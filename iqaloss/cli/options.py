"""Options that several commands share: one spelling, one explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SCORER_HELP = "A name out of `iqaloss scorers`."

Weights = Annotated[
    Path | None, typer.Option(help="Checkpoint file or folder; by default the weights inside the package.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")]
BatchSize = Annotated[int, typer.Option(help="Most images of one size that are scored together.")]
Workers = Annotated[int, typer.Option(help="Threads that read and decode images.")]
Rows = Annotated[int, typer.Option(help="Images a Parquet file of scores.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ...; by default this process's GPU.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Go on without images that cannot be used, and say which.")]
Images = Annotated[
    Path | None, typer.Option("--images", help="Folder that the names in tables are relative to; the table's own.")
]
Layout = Annotated[str | None, typer.Option(help="Layout of a published set; recognised by default.")]
LowerIsBetter = Annotated[bool, typer.Option("--lower-is-better", help="A low score in the table means a good image.")]
Out = Annotated[Path | None, typer.Option(help="Where checkpoints and curves go; runs/<name> by default.")]
Change = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.KEY=VALUE", help="Change the recipe; may be repeated."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last state in the output folder.")]
Cpu = Annotated[bool, typer.Option("--cpu", help="Stay on the CPU.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]

RENAMED = {"--chunk": "--rows"}
"""Options that had another name once, to the name that they have."""
