"""``iqaloss rank``: which method is better, by people's votes; which pictures to ask them about; who agrees."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from iqaloss.cli.display import counted, load_scorer, show
from iqaloss.cli.options import SCORER_HELP, AsJson, Weights

HELP = """
Which restoration method is better, by people's votes on pairs of outputs.

Choose pictures worth a vote:   iqaloss rank select outputs/A outputs/B --inputs photos --out pairs.csv

Rank the methods by the votes:  iqaloss rank fit votes.csv

See who agrees with the votes:  iqaloss rank evaluate votes.csv --scorer mdiqa-mobile --images outputs
"""

VOTES_HELP = "Table with a vote a row (winner,loser; perhaps image,subject,group,tie), or of RealSR-1K's layout."
SPAN = "{:.3f} to {:.3f}"

app = typer.Typer(help=HELP, no_args_is_help=True, rich_markup_mode=None)
VotesFile = Annotated[Path, typer.Argument(metavar="VOTES", help=VOTES_HELP)]
Voters = Annotated[int | None, typer.Option(help="Voters behind a table of shares; found from the shares by default.")]
Bootstrap = Annotated[int, typer.Option(help="Resamples for the 95 % intervals; 0 for none.")]
Seed = Annotated[int, typer.Option(help="Seed of the resamples.")]


@app.command("fit")
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
        _write(out, rows)
    if as_json:
        typer.echo(json.dumps({"methods": found, "oracle_2afc": most, "prior_2afc": prior}, indent=2))
        return
    other = models.fit(cast, next(name for name in models.LINKS if name != model))
    units = resampling.known_units(cast) if bootstrap else ()
    spans = {unit: resampling.bootstrap(cast, ranking, unit, repeats=bootstrap, seed=seed) for unit in units}
    for row, k in zip(rows, order):
        row |= {f"95 % over {unit}": SPAN.format(*ends[k]) for unit, ends in spans.items()}
        row[other.model] = float(other.scores[k])
    _show(rows, f"{model}: {cast.total.sum():.0f} votes on {len(cast.trials[0])} pairs, higher is better")
    typer.echo(f"2AFC: oracle {most:.4f}, method prior {prior:.4f}, chance 0.5")


@app.command("evaluate")
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
    _show([{name: row.get(name, "-") for name in columns} for row in rows], f"2AFC against {votes}")


@app.command("select")
def select(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Outputs, a folder for each method.")],
    inputs: Annotated[Path | None, typer.Option(help="Folder of what the methods were given.")] = None,
    out: Annotated[Path, typer.Option(help="Table of the chosen pictures.")] = Path("pairs.csv"),
    count: Annotated[int, typer.Option(help="K: pictures for each pair of methods.")] = 16,
    diversity: Annotated[float, typer.Option(help="lambda: weight of the distance to what is chosen already.")] = 0.1,
    scorer: Annotated[str, typer.Option(help="The scorer whose features measure both distances.")] = "mdiqa-mobile",
    weights: Weights = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of computed distances; beside --out by default.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Choose the pictures that tell each two methods apart best: the MAD competition (Eq. 1).

    A run that stopped goes on where it was, and another --count or --diversity measures nothing again.

    Example: iqaloss rank select outputs/BSRGAN outputs/SeeSR --inputs photos --count 16 --out pairs.csv
    """
    from iqaloss import IQALoss
    from iqaloss._errors import check_device
    from iqaloss.evaluation.scoring.score_files import fingerprint
    from iqaloss.ranking import selection

    named = {folder.resolve().name: folder for folder in folders}
    if len(named) < len(folders):
        raise ValueError(f"folders are methods and need names of their own, got {', '.join(map(str, folders))}")
    outputs = selection.find_outputs(named, inputs)
    loss = IQALoss(load_scorer(scorer, weights), "fr").to(check_device(device))
    with counted("distances", shown=True, total=len(outputs.names)) as advance:
        distances, described = selection.measure(
            outputs, selection.by_features(loss), selection.describe_by(loss), cache or out.with_suffix(".cache"),
            label=f"{scorer} {fingerprint(loss.scorer)}", device=device, progress=advance,
        )  # fmt: skip
    _write(out, rows := list(selection.select(outputs, distances, described, count, diversity)))
    typer.echo(f"{len(rows)} pairs of {len(named)} methods on {len(outputs.names)} pictures are in {out}")


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    from iqaloss._files import write_text

    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _show(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    show(
        [{name: str(value) if isinstance(value, int) else value for name, value in row.items()} for row in rows], title
    )
