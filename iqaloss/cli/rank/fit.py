"""``iqaloss rank fit``: which method is better, by votes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from iqaloss.cli.options import AsJson
from iqaloss.cli.rank.tables import SPAN, Bootstrap, Seed, Voters, VotesFile, show_whole, write


def fit(
    votes: VotesFile,
    model: Annotated[str, typer.Option(help="thurstone or bradley-terry: the one with errors.")] = "thurstone",
    out: Annotated[Path | None, typer.Option(help="Write method,score,se too, for calibration.")] = None,
    voters: Voters = None, as_json: AsJson = False, bootstrap: Bootstrap = 1000, seed: Seed = 0,
) -> None:  # fmt: skip
    """Rank methods by votes: maximum likelihood under Thurstone's model, with Bradley and Terry's beside it.

    Scores add up to zero; a tie is half a vote for either. The method prior always prefers the better method.

    Example: iqaloss rank fit votes.csv --out ranking.csv
    """
    from iqaloss.ranking import agreement, models, reading, resampling

    cast = reading.read_votes(votes, voters)
    ranking = models.fit(cast, model)
    if ranking.note:
        typer.echo(f"{votes}: {ranking.note}", err=True)
    most, prior = (
        agreement.agreement(cast, preference, repeats=0)[0].two_afc
        for preference in (agreement.oracle(cast), agreement.method_prior(cast, ranking))
    )
    order = ranking.order()
    found = {cast.methods[k]: {"score": float(ranking.scores[k]), "se": float(ranking.se[k])} for k in order}
    rows: list[dict[str, Any]] = [{"method": name, **values} for name, values in found.items()]
    if out is not None:
        write(out, rows)
    if as_json:
        typer.echo(json.dumps({"methods": found, "oracle_2afc": most, "prior_2afc": prior}, indent=2))
        return
    other = models.fit(cast, next(name for name in models.LINKS if name != model))
    units = resampling.known_units(cast) if bootstrap else ()
    spans = {unit: resampling.bootstrap(cast, ranking, unit, repeats=bootstrap, seed=seed) for unit in units}
    for row, k in zip(rows, order):
        row |= {f"95 % over {unit}": SPAN.format(*ends[k]) for unit, ends in spans.items()}
        row[other.model] = float(other.scores[k])
    show_whole(rows, f"{model}: {cast.total.sum():.0f} votes on {len(cast.trials[0])} pairs, higher is better")
    typer.echo(f"2AFC: oracle {most:.4f}, method prior {prior:.4f}, chance 0.5")
