"""``iqaloss evaluate``: how well scorers agree with human scores."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from iqaloss.data.manifest import Manifest
    from iqaloss.data.sources import Source
    from iqaloss.evaluation.evaluate import Evaluation


def evaluate(
    scorers: Annotated[list[str], typer.Argument(metavar="SCORER...", help="Names out of `iqaloss scorers`.")],
    data: Annotated[
        list[str],
        typer.Option(help="Table of images and scores, folder of a published set, or shards; may be repeated."),
    ],
    images: Annotated[
        list[Path] | None, typer.Option(help="Folder of a table's images, one for each --data; beside it by default.")
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Checkpoint for each scorer, in order; `default` takes the weights inside the package."),
    ] = None,
    layout: Annotated[str | None, typer.Option(help="Layout of a published set; recognised by default.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="Official split to use; may be repeated.")] = None,
    dimension: Annotated[
        str | None, typer.Option(help="Compare this dimension with the column of its name, not the overall score.")
    ] = None,
    per_group: Annotated[bool, typer.Option("--per-group", help="Measure each content group too.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for results.csv, scatter plots and the scores as Parquet parts.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    bootstrap: Annotated[int, typer.Option(help="Resamples for the 95 % confidence intervals; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the resamples.")] = 0,
    batch_size: Annotated[int, typer.Option(help="Most images of one size that are scored together.")] = 8,
    workers: Annotated[int, typer.Option(help="Threads that read and decode images.")] = 2,
    chunk: Annotated[int, typer.Option(help="Images a Parquet part.")] = 512,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; by default this process's GPU.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without bad rows, and say how many.")] = False,
) -> None:
    """Measure scorers against human scores: SRCC, PLCC (raw and fitted), KRCC, RMSE, MAE and 2AFC.

    RMSE and MAE are taken after the VQEG's four-parameter logistic, on the scale of the table.

    Example: iqaloss evaluate mdiqa-mobile --data scores.csv --images photos --out results
    """
    from iqaloss._processes import Ranks
    from iqaloss.cli.score import ProgressLine, load_scorer
    from iqaloss.evaluation.agreement.tables import to_text
    from iqaloss.evaluation.evaluate import evaluate as run
    from iqaloss.evaluation.evaluate import table_rows
    from iqaloss.evaluation.scoring.runner import RunOptions

    _same_number("--images", images, data, "--data")
    _same_number("--weights", weights, scorers, "scorer")
    ranks = Ranks.from_environment()
    sets = [
        _open(name, None if images is None else images[index], layout, split, dimension, skip_bad)
        for index, name in enumerate(data)
    ]
    options = RunOptions(batch_size=batch_size, workers=workers, device=device, chunk=chunk)
    done: list[Evaluation] = []
    for index, name in enumerate(scorers):
        given = None if weights is None or weights[index] == "default" else weights[index]
        model = load_scorer(name, given)
        label = name if given is None or scorers.count(name) == 1 else f"{name} ({Path(given).name})"
        for dataset, source in sets:
            with ProgressLine(ranks.rank == 0 and not as_json) as advance:
                one = run(
                    model,
                    source,
                    dataset=dataset,
                    name=label,
                    folder=None if out is None else out / "scores" / _file_name(label) / _file_name(dataset),
                    options=options,
                    dimension=dimension,
                    per_group=per_group,
                    skip_bad=skip_bad,
                    repeats=bootstrap,
                    seed=seed,
                    ranks=ranks,
                    progress=advance,
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
) -> tuple[str, Source]:
    """Returns the name and the images of a rated set, with human scores that are higher for the better image."""
    from iqaloss.data.layouts.record import load_data
    from iqaloss.data.sources import open_source

    path = Path(data)
    if _is_stream(path, layout):
        if dimension is not None or splits is not None:
            raise ValueError(f"--dimension and --split need a table or a published set, not {data}")
        return path.name.split(".")[0] or "data", open_source(data, images)
    manifest = load_data(path, images, layout=layout, splits=splits, skip_bad=skip_bad)
    if manifest.skipped:
        typer.echo(f"{data}: {len(manifest.skipped)} bad rows left out", err=True)
    return manifest.name, rated_files(manifest, dimension)


def rated_files(manifest: Manifest, dimension: str | None = None) -> Source:
    """Returns the images of a manifest with their human scores, turned so that higher is better."""
    from iqaloss.data.manifest import SCORE
    from iqaloss.data.sources import Files

    name = dimension or SCORE
    scale = manifest.scale if dimension is None else manifest.dimension_scales.get(name, manifest.scale)
    target = min(scale.worst, scale.best) + manifest.target(name) * abs(scale.best - scale.worst)
    return Files(manifest.images, target.tolist(), manifest.groups, manifest.prompts)


def _is_stream(path: Path, layout: str | None) -> bool:
    """Whether the data is read as a stream: shards, patterns, or Parquet files that hold the images themselves."""
    if layout is not None:
        return False
    if path.is_dir():
        return any(path.glob("*.tar")) or any(path.glob("*.parquet"))
    if any(char in path.name for char in "*{"):
        return True
    if path.suffix == ".parquet" and path.is_file():
        import pyarrow
        import pyarrow.parquet

        from iqaloss.data.sources import IMAGE_COLUMNS, find_column

        schema = pyarrow.parquet.read_schema(path)
        column = find_column(schema.names, IMAGE_COLUMNS)
        return column is not None and not pyarrow.types.is_string(schema.field(column).type)
    return path.suffix in (".tar", ".tgz", ".gz")


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
