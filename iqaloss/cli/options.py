"""Options that several commands share: one spelling, one explanation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

INSIDE = "default"
"""What `--weights` calls the weights inside the package."""
SCORER_HELP = "A name out of `iqaloss models`."

Weights = Annotated[
    str | None, typer.Option(help="Checkpoint file or folder; `default`, as without it, is what is inside the package.")
]
StartWeights = Annotated[
    str | None, typer.Option("--weights", help="As elsewhere what to start from, or `none`: random weights.")
]
DATA_HELP = (
    "A table of images and scores (CSV, Excel, Parquet), the folder of a published set, or a folder that holds one "
    "table beside its images"
)
Seed = Annotated[int, typer.Option(help="Seed of the resamples.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")]
BatchSize = Annotated[int, typer.Option(help="Most images of one size that are scored together.")]
StepSize = Annotated[int, typer.Option("--batch-size", help="Images in one step, over all processes.")]
Workers = Annotated[int, typer.Option(help="Threads that read and decode images.")]
Rows = Annotated[int, typer.Option(help="Images a Parquet file of scores.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, ...; by default this process's GPU.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Go on without images that cannot be used, and say which.")]
Images = Annotated[
    Path | None, typer.Option("--images", help="Folder that the names in tables are relative to; the table's own.")
]
Layout = Annotated[str | None, typer.Option(help="Layout of a published set; recognised by default.")]
LowerIsBetter = Annotated[bool, typer.Option("--lower-is-better", help="A low score in the table means a good image.")]
ScoreColumn = Annotated[
    str | None, typer.Option("--score-column", help="The column of human scores; found by its name (mos, dmos, ...).")
]
Out = Annotated[Path | None, typer.Option(help="Where checkpoints and curves go; runs/<name> by default.")]
Change = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.KEY=VALUE", help="Change the recipe; may be repeated."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last state in the output folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]

Tokenizer = Annotated[
    str | None,
    typer.Option(help="BERT vocab.txt, or its folder, for a scorer that reads prompts; by default its checkpoint's."),
]
Prompts = Annotated[
    str | None,
    typer.Option(help="A prompt for all images, or a table with the columns image and prompt; by default the data's."),
]

RENAMED = {"--chunk": "--rows", "--cpu": "--device cpu"}
"""Options that had another name once, to the name that they have."""
