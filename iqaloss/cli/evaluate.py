"""``iqaloss evaluate``: how well scorers agree with human scores."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iqaloss.cli import options

if TYPE_CHECKING:
    from iqaloss.data.library import Library
    from iqaloss.data.sources import Source
    from iqaloss.evaluation.evaluate import Evaluation


def evaluate(
    scorers: Annotated[list[str], typer.Argument(metavar="SCORER...", help="Names out of `iqaloss scorers`.")],
    data: Annotated[
        list[str],
        typer.Option(help=f"{options.DATA_HELP}; or shards. May be repeated."),
    ],
    images: Annotated[
        list[Path] | None, typer.Option(help="Folder of a table's images, one for each --data; beside it by default.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoint for each scorer, in order; `default` takes the weights inside the package."),
    ] = None,
    layout: options.Layout = None,
    split: Annotated[list[str] | None, typer.Option(help="Official split to use; may be repeated.")] = None,
    dimension: Annotated[
        str | None, typer.Option(help="Compare this dimension with the column of its name, not the overall score.")
    ] = None,
    per_group: Annotated[bool, typer.Option("--per-group", help="Measure each content group too.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.csv, scatter plots and the scores as Parquet files.")
    ] = None,
    as_json: options.AsJson = False,
    bootstrap: Annotated[int, typer.Option(help="Resamples for the 95 % confidence intervals; 0 for none.")] = 1000,
    seed: options.Seed = 0,
    batch_size: options.BatchSize = 8,
    workers: options.Workers = 2,
    rows: options.Rows = 512,
    device: options.Device = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Measure scorers against human scores: SRCC, PLCC (raw and fitted), KRCC, RMSE, MAE and 2AFC.

    RMSE and MAE are taken after the VQEG's four-parameter logistic, on the scale of the table.

    Example: iqaloss evaluate mdiqa-mobile --data scores.csv --images photos --out results
    """
    from iqaloss._processes import Ranks
    from iqaloss.cli.display import counted, load_scorer, total_of
    from iqaloss.data.library import Library
    from iqaloss.evaluation.agreement.tables import to_text
    from iqaloss.evaluation.evaluate import evaluate as run
    from iqaloss.evaluation.evaluate import table_rows
    from iqaloss.evaluation.scoring.runner import RunOptions

    _same_number("--images", images, data, "--data")
    _same_number("--weights", weights, scorers, "scorer")
    ranks = Ranks.from_environment()
    library = Library()
    sets = [
        _open(name, None if images is None else images[index], layout, split, dimension, skip_bad, library)
        for index, name in enumerate(data)
    ]
    chosen = RunOptions(batch_size=batch_size, workers=workers, device=device, rows=rows)
    done: list[Evaluation] = []
    for index, name in enumerate(scorers):
        given = None if weights is None or weights[index] == options.INSIDE else weights[index]
        model = load_scorer(name, given)
        label = name if given is None or scorers.count(name) == 1 else f"{name} ({Path(given).name})"
        for dataset, source in sets:
            total = total_of(source) if ranks.world == 1 else None
            with counted(f"{label} on {dataset}", shown=ranks.rank == 0, total=total) as add:
                one = run(
                    model,
                    source,
                    dataset=dataset,
                    name=label,
                    folder=None if out is None else out / "scores" / _file_name(label) / _file_name(dataset),
                    options=chosen,
                    dimension=dimension,
                    per_group=per_group,
                    skip_bad=skip_bad,
                    repeats=bootstrap,
                    seed=seed,
                    ranks=ranks,
                    progress=add,
                )
            if one is not None:
                done.append(one)
    if ranks.rank != 0:
        return
    for one in done:
        if one.left_out:
            typer.echo(f"{one.scorer} on {one.dataset}: {len(one.left_out)} images left out", err=True)
    if out is not None:
        _save(done, out)
    if as_json:
        plain = [one.metrics.to_dict() for one in done]
        single = len(done) == 1 and not done[0].groups
        typer.echo(json.dumps(plain[0] if single else table_rows(done)))
    else:
        typer.echo(to_text(table_rows(done)))


def _same_number(option: str, given: Sequence[Any] | None, wanted: Sequence[Any], what: str) -> None:
    if given is not None and len(given) != len(wanted):
        raise ValueError(f"{option} was given {len(given)} times, {what} {len(wanted)} times: need one for each")


def _open(
    data: str,
    images: Path | None,
    layout: str | None,
    splits: list[str] | None,
    dimension: str | None,
    skip_bad: bool,
    library: Library,
) -> tuple[str, Source]:
    """Returns the name and the images of a rated set, with human scores that are higher for the better image."""
    from iqaloss.data.open import SequentialSet, open_rated, rated_source

    opened = open_rated(data, images, layout=layout, splits=splits, skip_bad=skip_bad, library=library)
    if isinstance(opened, SequentialSet):
        if dimension is not None:
            raise ValueError(f"--dimension needs a table or a published set, not {data}")
        return opened.name, opened.source
    if opened.skipped:
        typer.echo(f"{data}: {len(opened.skipped)} bad rows left out", err=True)
    return opened.name, rated_source(opened, dimension)


def _file_name(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", label).strip("_") or "set"


def _save(done: list[Evaluation], out: Path) -> None:
    from iqaloss._files import write_text
    from iqaloss.evaluation.agreement.plots import scatter
    from iqaloss.evaluation.agreement.tables import to_csv
    from iqaloss.evaluation.evaluate import table_rows

    write_text(out / "results.csv", to_csv(table_rows(done)))
    for one in done:
        scatter(one, out / f"scatter-{_file_name(one.dataset)}-{_file_name(one.scorer)}.png")
