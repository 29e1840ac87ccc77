"""``iqaloss search``: which values of a recipe make the best scorer?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from iqaloss.cli import options


def search(
    recipe: Annotated[str, typer.Argument(help="A recipe, its file or name; or with --data the name of a scorer.")],
    over: Annotated[
        list[str],
        typer.Option(metavar="KEY=LOW:HIGH[:log] or KEY=A,B", help="What is varied; may be repeated."),
    ],
    data: Annotated[Path | None, typer.Option(help=f"{options.DATA_HELP}: fine-tunes the scorer on it.")] = None,
    images: options.Images = None,
    weights: options.StartWeights = None,
    trials: Annotated[int, typer.Option(min=1, help="Trainings in the end, earlier ones in the folder counted.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    out: options.Out = None,
    change: options.Change = None,
    as_json: options.AsJson = False,
) -> None:
    """Search a recipe's values with Optuna: each trial trains, and the best validation decides.

    A search that was stopped goes on with the same command. The validation set chose the values: keep a test set for
    what you report.

    Example: iqaloss search pmt_iqa_bid --over optimizer.lr=1e-6:1e-3:log --over data.train.0.batch_size=8,16,32

    On your scores: iqaloss search mdiqa-mobile --data scores.csv --over optimizer.lr=1e-6:1e-4:log --trials 10
    """
    from iqaloss.cli.display import say, show
    from iqaloss.training.recipes.files import read_values
    from iqaloss.training.recipes.finetune import finetune_values
    from iqaloss.training.search import Range, Trial
    from iqaloss.training.search import search as run

    ranges = [Range.read(each) for each in over]
    start = None if weights == "none" else weights or options.INSIDE
    values = read_values(recipe) if data is None else finetune_values(recipe, data, images, weights=start)
    folder = out or Path("runs") / f"search_{Path(recipe).stem}"

    def tell(trial: Trial) -> None:
        say(f"trial {trial.number}: {trial.value:.4f} with {' '.join(trial.changes)}", err=True)

    found = run(values, ranges, folder, trials=trials, changes=change or (), seed=seed, tell=tell)
    rows = [{"trial": each.number, "value": each.value, "changes": " ".join(each.changes)} for each in found]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    show(rows, f"{recipe}: {len(rows)} trials, the best first")
    best = " ".join(f"--set {each}" for each in found[0].changes)
    say(f"scorer: {folder / f'trial_{found[0].number:03d}' / 'best.safetensors'}\nthe same again: {best}")
