"""``iqaloss protocol``: the median of seeded trainings, cross-database runs and tables of ablations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from iqaloss.cli import options


def protocol(
    recipe: Annotated[str, typer.Argument(help="A YAML file, a published recipe's name, or with --data a scorer.")],
    data: Annotated[
        Path | None, typer.Option(help=f"Fit any scorer to it, as finetune does. {options.DATA_HELP}.")
    ] = None,
    images: options.Images = None,
    weights: options.StartWeights = None,
    test: Annotated[
        list[str] | None,
        typer.Option(help="Cross-database: train on whole sets, test on this whole one; may be repeated."),
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(metavar="'KEY=VALUE ...'", help="Changes that make a row of the table; may be repeated."),
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="Seeded runs of each variant, each with its own split.")] = 10,
    first_seed: Annotated[int, typer.Option(help="Seed of the first run.")] = 0,
    votes: Annotated[
        Path | None, typer.Option(help="Table of people's votes: tells each variant's 2AFC score too; needs --outputs.")
    ] = None,
    outputs: Annotated[Path | None, typer.Option(help="Folder of the images that people saw.")] = None,
    out: options.Out = None,
    change: options.Change = None,
    as_json: options.AsJson = False,
    device: options.Device = None,
    quiet: options.Quiet = False,
) -> None:
    """Train with several seeds and splits, and tell the median with its spread; a stopped run goes on.

    Where the recipe splits its rows (80 to 20 by content), each seed makes another split.

    Example: iqaloss protocol pmt_iqa_bid --set data.train.0.data=BID --set data.validation.0.data=BID --runs 10

    Cross-database: iqaloss protocol pmt_iqa_livec --test BID --runs 1

    Ablation: iqaloss protocol moe_agiqa_aigciqa2023 --variant options.without=[tkem] --variant options.without=[ndpm]

    Any scorer and set: iqaloss protocol mdiqa-mobile --data scores.csv --images photos

    Against votes: iqaloss protocol sr_iqa_calibrate --variant data.train=[] --votes votes.csv --outputs images
    """
    from iqaloss.cli.display import say, show
    from iqaloss.cli.voted import with_votes
    from iqaloss.training.protocol import crossed, place_of, run_protocol, summary
    from iqaloss.training.recipes.files import read_values
    from iqaloss.training.recipes.finetune import finetune_values

    if device not in (None, "cpu"):
        raise ValueError(f"--device {device}: a training takes each process's own GPU, or the CPU with --device cpu")
    if (votes is None) != (outputs is None):
        raise ValueError("--votes and --outputs go together: what people said, and the images that they saw")
    if data is None:
        values = read_values(recipe)
    else:
        start = None if weights == "none" else weights or options.INSIDE
        values = finetune_values(recipe, data, images, weights=start)
    if test:
        values = crossed(values, test)
    folder = out or Path("runs") / f"protocol_{Path(recipe).stem}"
    variants, seeds = list(dict.fromkeys(variant or [""])), range(first_seed, first_seed + runs)
    found = list(
        run_protocol(
            values,
            folder,
            variants=variants,
            changes=change or (),
            seeds=seeds,
            cpu=device == "cpu",
            bar=not quiet,
            tell=lambda one: say(f"{one.variant or recipe}, seed {one.seed}: SRCC {one.best['srcc']:.4f}", err=True),
        )
    )
    rows = summary(found)
    if votes is not None and outputs is not None:
        places = [[place_of(folder, number, seed) for seed in seeds] for number in range(len(variants))]
        rows = with_votes(rows, values["scorer"]["name"], places, votes, outputs)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    shown = [
        {
            name: f"{value:.4f} ({row[f'{name}_spread'][0]:.4f} to {row[f'{name}_spread'][1]:.4f})"
            if f"{name}_spread" in row
            else str(value)
            for name, value in row.items()
            if not name.endswith("_spread")
        }
        for row in rows
    ]
    show(
        shown,
        f"{recipe}: median of {runs} runs (lowest to highest), of the best validation and of the last",
    )
