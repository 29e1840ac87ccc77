"""``iqaloss evaluate``: how well scorers agree with human scores."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iqaloss.cli import options

if TYPE_CHECKING:
    from iqaloss.data.manifest import Manifest
    from iqaloss.data.open import SequentialSet
    from iqaloss.data.sources import Source
    from iqaloss.evaluation.evaluate import Evaluation


def evaluate(
    scorers: Annotated[list[str], typer.Argument(metavar="SCORER...", help="Names out of `iqaloss models`.")],
    data: Annotated[
        list[str] | None,
        typer.Option(help=f"{options.DATA_HELP}; or shards. May be repeated."),
    ] = None,
    run: Annotated[
        list[Path] | None,
        typer.Option("--run", help="Folder of a training: the rows that its recipe held out. May be repeated."),
    ] = None,
    images: Annotated[
        list[Path] | None, typer.Option(help="Folder of a table's images, one for each --data; beside it by default.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoint for each scorer, in order; `default` takes the weights inside the package."),
    ] = None,
    layout: options.Layout = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Official split, may be repeated; or a file of names (.txt) or of splits (.mat)."),
    ] = None,
    dimension: Annotated[
        str | None, typer.Option(help="Compare this dimension with the column of its name, not the overall score.")
    ] = None,
    lower_is_better: options.LowerIsBetter = False,
    score_column: options.ScoreColumn = None,
    prompts: options.Prompts = None,
    tokenizer: options.Tokenizer = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Option of the scorers; may be repeated.")
    ] = None,
    vary: Annotated[
        str | None, typer.Option(metavar="KEY=A,B,...", help="An option to vary: a row of the table for each value.")
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

    RMSE and MAE are taken after the VQEG's four-parameter logistic, on the scale of the table, and raw.

    Example: iqaloss evaluate mdiqa-mobile --data scores.csv --images photos --out results

    Robust to colors? iqaloss evaluate lar-iqa --weights lar.safetensors --data tid2013 --vary
    color_space=RGB,HSV,LAB,YUV --out robustness
    """
    from iqaloss._processes import Ranks
    from iqaloss.cli.display import counted, load_scorer, say, total_of
    from iqaloss.cli.held_out import held_out_sets, kept_scorer
    from iqaloss.cli.varied import varied
    from iqaloss.data.library import Library
    from iqaloss.data.open import open_rated
    from iqaloss.data.prompts import Prompted, read_prompts
    from iqaloss.evaluation.agreement.plots import comparison
    from iqaloss.evaluation.agreement.tables import to_text
    from iqaloss.evaluation.evaluate import evaluate as measure
    from iqaloss.evaluation.evaluate import table_rows
    from iqaloss.evaluation.scoring.runner import RunOptions

    if not data and not run:
        raise ValueError("name what to measure on: --data TABLE, or --run FOLDER of a training")
    data, own = data or [], held_out_sets(run or (), skip_bad, dimension)
    if weights is None and run and len(run) == 1:
        weights = [str(kept_scorer(run[0]))] * len(scorers)
    _same_number("--images", images, data, "--data")
    _same_number("--weights", weights, scorers, "scorer")
    ranks = Ranks.from_environment()
    library = Library()
    opened = [
        open_rated(
            name, None if images is None else images[index], layout=layout, splits=split, skip_bad=skip_bad,
            library=library, lower_is_better=lower_is_better or None, score_column=score_column,
        )
        for index, name in enumerate(data)
    ]  # fmt: skip
    sources = [_source(name, one, dimension, skip_bad, ranks.rank == 0) for name, one in zip(data, opened)]
    if prompts is not None:
        given_prompts = read_prompts(prompts)
        sources = [Prompted(source, given_prompts) for source in sources]
    sources += [_source(str(one.place), one.manifest, one.dimension, skip_bad, ranks.rank == 0) for one in own]
    compared = [dimension] * len(opened) + [one.dimension for one in own]
    sets = list(
        zip(_distinct([one.name for one in (*opened, *own)], [*data, *(str(one.place) for one in own)]), sources)
    )
    chosen = RunOptions(batch_size=batch_size, workers=workers, device=device, rows=rows)
    done: list[Evaluation] = []
    files = [None if given == options.INSIDE else given for given in weights or [options.INSIDE] * len(scorers)]
    labels = [
        name if given is None or scorers.count(name) == 1 else f"{name} ({Path(given).name})"
        for name, given in zip(scorers, files)
    ]
    labels = _distinct(labels, [given or "" for given in files])
    trials = varied(zip(scorers, files, labels), option or (), vary)
    labels = [label for _, _, label, _ in trials]
    places = _folders(labels), _folders([dataset for dataset, _ in sets])
    for name, given, label, changes in trials:
        model = load_scorer(name, given, tokenizer, changes)
        for (dataset, source), column in zip(sets, compared):
            total = total_of(source) if ranks.world == 1 else None
            with counted(f"{label} on {dataset}", shown=ranks.rank == 0, total=total) as add:
                one = measure(
                    model,
                    source,
                    dataset=dataset,
                    name=label,
                    folder=None if out is None else out / "scores" / places[0][label] / places[1][dataset],
                    options=chosen,
                    dimension=column,
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
            say(f"{one.scorer} on {one.dataset}: {len(one.left_out)} images left out", err=True)
    if out is not None:
        _save(done, out, *places)
        if vary is not None:
            comparison(done, out / "varied.png", vary.partition("=")[0])
    if as_json:
        plain = [one.metrics.to_dict() for one in done]
        single = len(done) == 1 and not done[0].groups
        typer.echo(json.dumps(plain[0] if single else table_rows(done)))
    else:
        say(to_text(table_rows(done)))


def _same_number(option: str, given: Sequence[Any] | None, wanted: Sequence[Any], what: str) -> None:
    if given is not None and len(given) != len(wanted):
        raise ValueError(f"{option} was given {len(given)} times, {what} {len(wanted)} times: need one for each")


def _source(data: str, opened: Manifest | SequentialSet, dimension: str | None, skip_bad: bool, says: bool) -> Source:
    """Returns the images of a rated set, with human scores that are higher for the better image."""
    from iqaloss.cli.display import say
    from iqaloss.data.open import SequentialSet, rated_source

    if isinstance(opened, SequentialSet):
        if dimension is not None:
            raise ValueError(f"--dimension needs a table or a published set, not {data}")
        return opened.source
    if dimension is not None:
        opened = opened.with_target(dimension, skip_bad)
    elif says and opened.taken:
        say(opened.taken, err=True)
    if says and opened.skipped:
        say(f"{data}: {len(opened.skipped)} bad rows left out", err=True)
    return rated_source(opened, dimension)


def _distinct(names: Sequence[str], origins: Sequence[str]) -> list[str]:
    """Returns names of which no two are equal: those that are get their folder, or else a number.

    Example:
        >>> _distinct(["t", "t", "u"], ["a/t.csv", "b/t.csv", "u.csv"])
        ['t (a)', 't (b)', 'u']
    """
    return _numbered(
        name if names.count(name) == 1 else f"{name} ({Path(origin).parent.name or '.'})"
        for name, origin in zip(names, origins)
    )


def _numbered(names: Iterable[str]) -> list[str]:
    """Returns names, with a number behind the second of a kind."""
    found: list[str] = []
    for name in names:
        found.append(next(new for n in count(1) if (new := name if n == 1 else f"{name} {n}") not in found))
    return found


def _folders(labels: Sequence[str]) -> dict[str, str]:
    """Returns a name for the files of each label, of which no two are equal either."""
    return dict(zip(labels, _numbered(map(_file_name, labels))))


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.-]+", "_", label).strip("_.") or "set"


def _save(done: list[Evaluation], out: Path, scorers: Mapping[str, str], sets: Mapping[str, str]) -> None:
    from iqaloss._files import write_text
    from iqaloss.evaluation.agreement.plots import scatter
    from iqaloss.evaluation.agreement.tables import to_csv
    from iqaloss.evaluation.evaluate import table_rows

    write_text(out / "results.csv", to_csv(table_rows(done)))
    for one in done:
        scatter(one, out / f"scatter-{sets[one.dataset]}-{scorers[one.scorer]}.png")
