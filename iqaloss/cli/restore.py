"""``iqaloss restore``: restoration networks trained with the losses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqaloss.cli import options

app = typer.Typer(
    help="Train restoration networks with IQA losses, through BasicSR.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def restore() -> None:
    """Train restoration networks with IQA losses, through BasicSR."""


@app.command()
def train(
    opt: Annotated[Path, typer.Option("-opt", "--opt", metavar="RECIPE", help="The recipe: YAML in BasicSR's format.")],
    root: Annotated[Path, typer.Option(help="Where experiments/ and tb_logger/ are written.")] = Path("."),
    change: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY:KEY=VALUE", help="Change the recipe; may be repeated."),
    ] = None,
    resume: options.Resume = False,
    launcher: Annotated[
        str | None,
        typer.Option(metavar="none|pytorch|slurm", help="How processes are started; pytorch under torchrun."),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Train a restoration network from a recipe, on CPU or CUDA.

    The recipe is checked before anything is built. Ready ones: restoration_recipes/*.yml.

    Example: iqaloss restore train -opt restoration_recipes/msrresnet_x4_nr.yml --set train:total_iter=1000

    Several GPUs: torchrun --nproc_per_node=4 -m iqaloss.cli restore train -opt RECIPE
    """
    from iqaloss.integrations.basicsr import train as train_recipe

    folder = train_recipe(
        opt, root=root, overrides=change or (), auto_resume=resume, launcher=launcher, progress=not quiet
    )
    typer.echo(f"trained network: {folder / 'models' / 'net_g_latest.pth'}")
