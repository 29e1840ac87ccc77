"""``iqaloss finetune``: a scorer learns from your own human scores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqaloss.cli import options


def finetune(
    scorer: Annotated[str, typer.Argument(help="Name of a scorer; iqaloss models lists them.")],
    data: Annotated[Path, typer.Option(help=f"{options.DATA_HELP}.")],
    images: options.Images = None,
    layout: options.Layout = None,
    weights: options.StartWeights = None,
    validation: Annotated[float, typer.Option(help="Share of the images that chooses the best checkpoint.")] = 0.2,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 10,
    batch_size: options.StepSize = 16,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-5,
    crop: Annotated[int, typer.Option(help="Side of the random crops.")] = 224,
    split_by: Annotated[
        str, typer.Option(help="table: its split column decides, where it has one; group or image: all rows are split.")
    ] = "table",
    lower_is_better: options.LowerIsBetter = False,
    score_column: options.ScoreColumn = None,
    tokenizer: options.Tokenizer = None,
    prompts: options.Prompts = None,
    skip_bad: options.SkipBad = False,
    out: options.Out = None,
    change: options.Change = None,
    resume: options.Resume = False,
    device: options.Device = None,
    quiet: options.Quiet = False,
) -> None:
    """Fit a scorer to your own images and human scores.

    Example: iqaloss finetune mdiqa-mobile --data scores.csv --images photos

    With prompts: iqaloss finetune moe-agiqa --weights moe.safetensors --data scores.csv --prompts prompts.csv
    """
    from iqaloss.cli.fitting import fit
    from iqaloss.training.recipes import finetune_recipe

    recipe = finetune_recipe(
        scorer,
        data,
        images,
        weights=None if weights == "none" else weights or options.INSIDE,
        validation=validation,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        crop=crop,
        layout=layout,
        lower_is_better=lower_is_better or None,
        score_column=score_column,
        skip_bad=skip_bad,
        tokenizer=tokenizer,
        prompts=prompts,
        split_by=split_by,
        changes=change or (),
    )
    fit(recipe, out or Path("runs") / f"{scorer}_{data.stem}", resume, device, quiet)
