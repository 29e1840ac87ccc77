"""``iqaloss rank evaluate``: which scorers agree with votes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from iqaloss.cli.display import load_scorer
from iqaloss.cli.options import SCORER_HELP, AsJson, Weights
from iqaloss.cli.rank.tables import SPAN, Bootstrap, Seed, Voters, VotesFile, show_whole


def evaluate(
    votes: VotesFile,
    scores: Annotated[list[Path] | None, typer.Option(help="Table with image,score; may be repeated.")] = None,
    scorer: Annotated[str | None, typer.Option(help=f"{SCORER_HELP} Needs --images.")] = None,
    weights: Weights = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the images that people saw.")] = None,
    references: Annotated[Path | None, typer.Option(help="Folder of originals: takes the scorer's FR loss.")] = None,
    voters: Voters = None, as_json: AsJson = False, bootstrap: Bootstrap = 1000, seed: Seed = 0,
) -> None:  # fmt: skip
    """Measure scores against votes: the 2AFC score, beside what the majority, the methods' names and chance reach.

    Higher scores are better, equal ones count one half. The method prior prefers what these same votes rank higher.

    Example: iqaloss rank evaluate votes.csv --scores scores.csv --scorer mdiqa-mobile --images outputs
    """
    from iqaloss import IQALoss
    from iqaloss.ranking import agreement, models, reading

    cast = reading.read_votes(votes, voters)
    preferences = {path.name: agreement.by_scores(cast, reading.read_scores(path)) for path in scores or ()}
    if scorer is not None:
        if images is None:
            raise ValueError("--scorer needs --images, the folder of the images that people saw")
        model = load_scorer(scorer, weights)
        loss = None if references is None else IQALoss(model, "fr")
        score = (lambda image: model(image).score) if loss is None else lambda *both: -loss(*both)
        preferences[scorer] = agreement.by_scores(cast, agreement.score_images(cast, images, score, references))
    preferences["oracle"] = agreement.oracle(cast)
    preferences["method prior"] = agreement.method_prior(cast, models.fit(cast))
    preferences["chance"] = 0 * preferences["oracle"] + 0.5
    rows = [
        {**asdict(one), "group": one.group or "(all)"}
        for name, preference in preferences.items()
        for one in agreement.agreement(cast, preference, name, repeats=bootstrap, seed=seed)
    ]
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        row["two_afc"] = f"{row['two_afc']:.4f}"
        row |= {f"95 % over {unit}": SPAN.format(*ends) for unit, ends in row.pop("intervals").items()}
    columns = {name: None for row in rows for name in row}
    show_whole([{name: row.get(name, "-") for name in columns} for row in rows], f"2AFC against {votes}")
