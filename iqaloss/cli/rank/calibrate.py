"""``iqaloss rank calibrate``: a scorer learns what the votes say of the methods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from iqaloss.cli import options
from iqaloss.cli.rank.tables import Voters

SEEN = "Table of votes, or a table with method,score, which is a ranking already."


def calibrate(
    votes: Annotated[Path, typer.Argument(metavar="VOTES", help=SEEN)],
    images: Annotated[Path, typer.Option(help="Folder of folders of outputs, one for each method; no votes needed.")],
    scorer: Annotated[str, typer.Option(help=f"{options.SCORER_HELP} Or pyiqa:METRIC.")] = "mdiqa-mobile",
    weights: options.StartWeights = None,
    learns: Annotated[
        str, typer.Option(help="rectifier: a small MLP on top of the frozen scorer; everything: the scorer itself.")
    ] = "rectifier",
    batch_size: Annotated[
        int, typer.Option(help="B: images of each method whose mean must obey the ranking; 1: each image must.")
    ] = 64,
    steps: Annotated[int, typer.Option(help="Steps of the optimiser.")] = 200,
    lr: Annotated[float | None, typer.Option(help="Learning rate; by default 1e-3, for everything 1e-5.")] = None,
    crop: Annotated[int, typer.Option(help="Side of the random crops.")] = 224,
    rated: Annotated[
        Path | None, typer.Option(help="Human scores that teach beside the ranking; by default the ranking alone does.")
    ] = None,
    rated_images: Annotated[Path | None, typer.Option(help="Folder of that table's images.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where checkpoint, ranking and curves go.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 123,
    voters: Voters = None,
    change: options.Change = None,
    as_json: options.AsJson = False,
    resume: options.Resume = False,
    device: options.Device = None,
    quiet: options.Quiet = False,
) -> None:
    """Calibrate a scorer by a ranking of methods, so that methods' mean scores agree with it (Eq. 3 to 6).

    The votes make the ranking; the outputs that teach need no votes, the more pictures the better. The checkpoint loads
    wherever the scorer's own weights do. Leave some pictures and methods out, and measure on them what it is worth.

    Example: iqaloss rank calibrate votes.csv --images outputs --scorer mdiqa-mobile --out runs/calibrated

    Then: iqaloss rank evaluate held_out.csv --images outputs --scorer mdiqa-mobile --weights
    runs/calibrated/last.safetensors
    """
    from iqaloss.cli.display import known_scorer
    from iqaloss.cli.fitting import trainer_of
    from iqaloss.ranking import calibration

    ours = known_scorer(scorer)
    folder = out or Path("runs") / f"{scorer.replace(':', '_')}_{votes.stem}"
    ranking = calibration.ranking_of(votes, voters)
    table = calibration.settle_ranking(folder, ranking)
    given = weights or options.INSIDE
    start = None if given == "none" or (given == options.INSIDE and not ours) else given
    recipe = calibration.calibration_recipe(
        scorer, images, table, weights=start, learns=learns, batch_size=batch_size, steps=steps, lr=lr,
        crop=crop, rated=rated, rated_images=rated_images, seed=seed, changes=change or (),
    )  # fmt: skip
    trainer = trainer_of(recipe, folder, resume, device, quiet)
    result = trainer.fit()
    if as_json:
        told = {"checkpoint": str(result), "scorer": scorer, "learns": learns, "methods": ranking}
        typer.echo(json.dumps({**told, "steps": trainer.state.step, "seed": seed}, indent=2))
        return
    typer.echo(f"checkpoint: {result} ({len(ranking)} methods, {trainer.state.step} steps)")
    typer.echo(f"use it: iqaloss score IMAGES --scorer {scorer} --weights {result}")
