"""``iqaloss train`` and ``iqaloss finetune``: scorers learn from human scores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from iqaloss.training.recipes import Recipe

Out = Annotated[Path | None, typer.Option(help="Where checkpoints and curves go; runs/<name> by default.")]
Change = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.KEY=VALUE", help="Change the recipe; may be repeated."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last state in the output folder.")]
Cpu = Annotated[bool, typer.Option("--cpu", help="Stay on the CPU.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bar.")]


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A YAML file, or the name of a published recipe; without one, list them.")
    ] = None,
    out: Out = None,
    change: Change = None,
    resume: Resume = False,
    cpu: Cpu = False,
    quiet: Quiet = False,
) -> None:
    """Train a scorer from a recipe.

    The result is a checkpoint for create_scorer(NAME, weights=PATH) and for every loss.

    Example: iqaloss train pmt_iqa_bid --set data.train.0.data=BID --set data.validation.0.data=BID

    Several processes: torchrun --nproc_per_node 4 -m iqaloss.cli train RECIPE, or accelerate launch -m iqaloss.cli
    train RECIPE. The recipe's batch sizes are those of all processes together.
    """
    from iqaloss.training.recipes import list_recipes, read_recipe

    if recipe is None:
        typer.echo("\n".join(f"{name:32} {read_recipe(name).title}" for name in list_recipes()))
        return
    fit(read_recipe(recipe, change or ()), out or Path("runs") / Path(recipe).stem, resume, cpu, quiet)


def finetune(
    scorer: Annotated[str, typer.Argument(help="Name of a scorer; iqaloss scorers lists them.")],
    data: Annotated[Path, typer.Option(help="Table of images and human scores (CSV or Parquet), or a published set.")],
    images: Annotated[Path | None, typer.Option(help="Folder of the table's images; the table's by default.")] = None,
    weights: Annotated[
        str, typer.Option(help='A checkpoint to start from; "default", or "none" for random weights.')
    ] = "default",
    validation: Annotated[float, typer.Option(help="Share of the images that chooses the best checkpoint.")] = 0.2,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Images in one step, over all processes.")] = 16,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 1e-5,
    crop: Annotated[int, typer.Option(help="Side of the random crops.")] = 224,
    lower_is_better: Annotated[bool, typer.Option("--lower-is-better", help="A low score means a good image.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without bad rows.")] = False,
    out: Out = None,
    change: Change = None,
    resume: Resume = False,
    cpu: Cpu = False,
    quiet: Quiet = False,
) -> None:
    """Fit a scorer to your own images and human scores.

    Example: iqaloss finetune mdiqa-mobile --data scores.csv --images photos
    """
    from iqaloss.training.recipes import finetune_recipe

    recipe = finetune_recipe(
        scorer,
        data,
        images,
        weights=None if weights == "none" else weights,
        validation=validation,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        crop=crop,
        lower_is_better=lower_is_better,
        skip_bad=skip_bad,
        changes=change or (),
    )
    fit(recipe, out or Path("runs") / f"{scorer}_{data.stem}", resume, cpu, quiet)


def fit(recipe: Recipe, out: Path, resume: bool, cpu: bool, quiet: bool) -> None:
    """Runs a recipe; the first process tells how many rows were left out and where the result is."""
    from iqaloss.training.engine.trainer import Trainer

    first = os.environ.get("RANK", "0") == "0"
    trainer = Trainer(recipe, out, resume=resume, bar=not quiet, cpu=cpu)
    for name, count in trainer.streams.skipped().items():
        if first and count:
            typer.echo(f"{name}: went on without {count} bad rows")
    result = trainer.fit()
    if first:
        best = f" ({recipe.run.key.upper()} {trainer.best:.4f} on its validation images)" if trainer.history else ""
        typer.echo(f"checkpoint: {result}{best}")
        typer.echo(f'use it: create_scorer("{recipe.scorer.name}", weights="{result}")')
