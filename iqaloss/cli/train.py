"""``iqaloss train``: scorers learn from human scores, by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqaloss.cli import options


def train(
    recipe: Annotated[
        str | None, typer.Argument(help="A YAML file, or the name of a published recipe; without one, list them.")
    ] = None,
    out: options.Out = None,
    change: options.Change = None,
    resume: options.Resume = False,
    device: options.Device = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a scorer from a recipe.

    The result is a checkpoint for create_scorer(NAME, weights=PATH) and for every loss.

    Example: iqaloss train pmt_iqa_bid --set data.train.0.data=BID --set data.validation.0.data=BID

    Several processes: torchrun --nproc_per_node 4 -m iqaloss.cli train RECIPE, or accelerate launch -m iqaloss.cli
    train RECIPE. The recipe's batch sizes are those of all processes together.
    """
    from iqaloss.cli.fitting import fit
    from iqaloss.training.recipes import list_recipes, read_recipe

    if recipe is None:
        typer.echo("\n".join(f"{name:32} {read_recipe(name).title}" for name in list_recipes()))
        return
    fit(read_recipe(recipe, change or ()), out or Path("runs") / Path(recipe).stem, resume, device, quiet)
