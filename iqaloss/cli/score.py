"""``iqaloss score``: what a scorer says of a few images, or of millions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iqaloss.cli import options

if TYPE_CHECKING:
    from iqaloss.data.sources import Source
    from iqaloss.evaluation.scoring.runner import RunOptions
    from iqaloss.evaluation.scoring.score_files import Row
    from iqaloss.scorers.base import Scorer


def score(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Images, folders of them, lists (.txt, .csv, .xlsx), .parquet files, .tar shards, or patterns.",
        ),
    ],
    scorer: Annotated[str, typer.Option(help=options.SCORER_HELP)] = "mdiqa-mobile",
    weights: options.Weights = None,
    as_json: options.AsJson = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the scores as Parquet files; a run that stopped goes on where it was."),
    ] = None,
    folder: options.Images = None,
    dimensions: Annotated[bool, typer.Option(help="Score the dimensions too.")] = True,
    batch_size: options.BatchSize = 8,
    workers: options.Workers = 2,
    rows: options.Rows = 512,
    prompts: options.Prompts = None,
    tokenizer: options.Tokenizer = None,
    device: options.Device = None,
    skip_bad: options.SkipBad = False,
) -> None:
    """Score images: overall quality and every dimension, higher is better.

    Example: iqaloss score photo.png holidays/ --scorer mdiqa-mobile

    Many images: torchrun --nproc_per_node=4 -m iqaloss.cli score "shards/{000..063}.tar" --out scores
    """
    from iqaloss.cli.display import load_scorer, show
    from iqaloss.data.open import open_images
    from iqaloss.data.prompts import Prompted, read_prompts
    from iqaloss.data.sources import Chain
    from iqaloss.evaluation.scoring.runner import RunOptions

    source: Source = Chain(tuple(open_images(name, folder) for name in images))
    plain_source = source
    if prompts is not None:
        source = Prompted(source, read_prompts(prompts))
    model = load_scorer(scorer, weights, tokenizer)
    chosen = RunOptions(
        batch_size=batch_size, workers=workers, device=device, dimensions=dimensions and bool(model.dimension_names),
        rows=rows,
    )  # fmt: skip
    if out is not None:
        _score_to_files(model, source, out, chosen, as_json=as_json, skip_bad=skip_bad)
        return
    rows_of = list(_rows(model, source, chosen))
    _tell_left_out(plain_source)
    if not rows_of:
        raise ValueError(f"no images in {', '.join(images)}")
    found = [row for row in rows_of if row.error is None]
    plain = [{"image": row.image, **{name: round(value, 4) for name, value in _values(row).items()}} for row in found]
    if as_json:
        typer.echo(json.dumps(plain, indent=2))
    elif plain:
        show(plain, f"{scorer}, higher is better")
    _check_bad(", ".join(images), [(row.image, str(row.error)) for row in rows_of if row.error], skip_bad, len(found))


def _rows(model: Scorer, source: Source, options: RunOptions) -> Iterator[Row]:
    from iqaloss._errors import check_device
    from iqaloss._processes import Ranks
    from iqaloss.cli.display import counted, total_of
    from iqaloss.evaluation.scoring.runner import batches_of_rows, score_items

    ranks = Ranks.from_environment()
    if ranks.world > 1:
        raise ValueError("several processes need --out, a folder that all of them see")
    place = check_device(ranks.device(options.device))
    model = model.to(place)
    with counted("scoring", shown=True, total=total_of(source)) as add:
        for items in batches_of_rows(source, options.rows):
            rows = {}
            for number, row in score_items(model, items, options, place):
                rows[number] = row
                add(1)
            yield from (rows[number] for number in range(len(items)))


def _tell_left_out(source: Source) -> None:
    from iqaloss.cli.display import say
    from iqaloss.data.sources import left_out

    for told in left_out(source):
        say(f"left out, no pictures: {told}", err=True)


def _check_bad(source: str, bad: Sequence[tuple[str, str]], skip_bad: bool, good: int) -> None:
    """Ends with an error where images are bad, after the scores of the others are out; with none of these always."""
    from iqaloss.cli.display import say
    from iqaloss.evaluation.evaluate import bad_images

    if bad and not (skip_bad and good):
        raise ValueError(bad_images(source, tuple(bad)))
    for image, error in bad:
        say(f"left out {image}: {error}", err=True)


def _values(row: Row) -> dict[str, float]:
    return {"score": float(row.score or 0.0), **(row.dimensions or {})}


def _score_to_files(
    model: Scorer, source: Source, out: Path, options: RunOptions, *, as_json: bool, skip_bad: bool
) -> None:
    from iqaloss._files import locked
    from iqaloss._processes import Ranks
    from iqaloss.cli.display import counted, say, total_of
    from iqaloss.evaluation.scoring.runner import describe_run, score_source
    from iqaloss.evaluation.scoring.score_files import ScoreFiles

    ranks = Ranks.from_environment()
    with locked(out, ranks.rank == 0):
        files = ScoreFiles(out, describe_run(model, options))
        total = total_of(source) if ranks.world == 1 else None
        with counted("scoring", shown=ranks.rank == 0, total=total) as add:
            summary = score_source(model, source, files, options, ranks=ranks, progress=add)
        ranks.wait()
        if ranks.rank != 0:
            return
        removed = len(files.trim(summary.files))
        bad = list(files.errors(summary.files))
    _tell_left_out(source)
    if not summary.images:
        raise ValueError(f"no images: nothing was scored into {out}")
    report: dict[str, Any] = {
        "out": str(out),
        "images": summary.images,
        "files": summary.files,
        "resumed_here": summary.resumed,
        "scored_here": summary.scored,
        "bad": len(bad),
        "removed_files": removed,
    }
    if as_json:
        typer.echo(json.dumps(report))
    else:
        say(f"{summary.images} images in {summary.files} files under {out}, {len(bad)} of them bad")
        if removed:
            say(f"removed {removed} files of scores of images that are no longer there")
    _check_bad(str(out), bad, skip_bad, summary.images - len(bad))
