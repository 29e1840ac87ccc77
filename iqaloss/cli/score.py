"""``iqaloss score``: what a scorer says of a few images, or of millions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from iqaloss.data.sources import Source
    from iqaloss.evaluation.scoring.runner import RunOptions
    from iqaloss.evaluation.scoring.score_files import Row
    from iqaloss.scorers.base import Scorer

WEIGHTS_HELP = "Checkpoint file or folder; by default the weights inside the package."


def score(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Images, folders of them, lists (.txt, .csv), .parquet files, WebDataset .tar shards, or patterns.",
        ),
    ],
    scorer: Annotated[str, typer.Option(help="A name out of `iqaloss scorers`.")] = "mdiqa-mobile",
    weights: Annotated[Path | None, typer.Option(help=WEIGHTS_HELP)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the scores as Parquet parts; a run that stopped goes on where it was."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--images", help="Folder that the names in lists and Parquet files are relative to.")
    ] = None,
    dimensions: Annotated[bool, typer.Option(help="Score the dimensions too.")] = True,
    batch_size: Annotated[int, typer.Option(help="Most images of one size that are scored together.")] = 8,
    workers: Annotated[int, typer.Option(help="Threads that read and decode images.")] = 2,
    chunk: Annotated[int, typer.Option(help="Images a Parquet part.")] = 512,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, ...; by default this process's GPU.")] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Go on without images that cannot be scored.")] = False,
) -> None:
    """Score images: overall quality and every dimension, higher is better.

    Example: iqaloss score photo.png holidays/ --scorer mdiqa-mobile

    Many images: torchrun --nproc_per_node=4 -m iqaloss.cli score "shards/{000..063}.tar" --out scores
    """
    from iqaloss.data.sources import Chain, open_source
    from iqaloss.evaluation.scoring.runner import RunOptions

    source = Chain(tuple(open_source(name, folder) for name in images))
    model = load_scorer(scorer, weights)
    options = RunOptions(
        batch_size=batch_size, workers=workers, device=device, dimensions=dimensions and bool(model.dimension_names),
        chunk=chunk,
    )  # fmt: skip
    if out is not None:
        _score_to_parts(model, source, out, options, as_json=as_json, skip_bad=skip_bad)
        return
    rows = [row for row in _rows(model, source, options) if not _is_bad(row, skip_bad)]
    if not rows:
        raise ValueError(f"no images in {', '.join(images)}")
    shown = [{"image": row.image, **{name: round(value, 4) for name, value in _values(row).items()}} for row in rows]
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
    else:
        from iqaloss.cli.scorers import show

        show(shown, f"{scorer}, higher is better")


def load_scorer(name: str, weights: Path | str | None) -> Scorer:
    """Builds a scorer with its own or with given weights, frozen."""
    from iqaloss import create_scorer

    return create_scorer(name) if weights is None else create_scorer(name, weights)


def _rows(model: Scorer, source: Source, options: RunOptions) -> Iterator[Row]:
    from iqaloss._errors import check_device
    from iqaloss._processes import Ranks
    from iqaloss.evaluation.scoring.runner import chunks_of, score_items

    ranks = Ranks.from_environment()
    if ranks.world > 1:
        raise ValueError("several processes need --out, a folder that all of them see")
    place = check_device(ranks.device(options.device))
    model = model.to(place)
    for items in chunks_of(source, options.chunk):
        rows = dict(score_items(model, items, options, place))
        yield from (rows[number] for number in range(len(items)))


def _is_bad(row: Row, skip_bad: bool) -> bool:
    if row.error is not None and not skip_bad:
        raise ValueError(row.error if row.image in row.error else f"{row.image}: {row.error}")
    if row.error is not None:
        sys.stderr.write(f"left out {row.image}: {row.error}\n")
    return row.error is not None


def _values(row: Row) -> dict[str, float]:
    return {"score": float(row.score or 0.0), **(row.dimensions or {})}


def _score_to_parts(
    model: Scorer, source: Source, out: Path, options: RunOptions, *, as_json: bool, skip_bad: bool
) -> None:
    from iqaloss._processes import Ranks
    from iqaloss.evaluation.evaluate import bad_images
    from iqaloss.evaluation.scoring.runner import describe_run, score_source
    from iqaloss.evaluation.scoring.score_files import Parts

    ranks = Ranks.from_environment()
    parts = Parts(out, describe_run(model, options))
    with ProgressLine(ranks.rank == 0 and not as_json) as advance:
        summary = score_source(model, source, parts, options, ranks=ranks, progress=advance)
    ranks.wait()
    if ranks.rank != 0:
        return
    bad = tuple(parts.errors(summary.chunks))
    report: dict[str, Any] = {
        "out": str(out),
        "images": summary.images,
        "parts": summary.chunks,
        "resumed_here": summary.resumed,
        "scored_here": summary.scored,
        "bad": len(bad),
    }
    if as_json:
        typer.echo(json.dumps(report))
    else:
        typer.echo(f"{summary.images} images in {summary.chunks} parts under {out}, {len(bad)} of them bad")
    if bad and not skip_bad:
        raise ValueError(bad_images(str(out), bad))


class ProgressLine:
    """A line on the error stream that counts images; silent where it is not wanted."""

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted and sys.stderr.isatty()
        self.count = 0

    def __enter__(self) -> ProgressLine:
        return self

    def __call__(self, images: int) -> None:
        """Adds images to the count."""
        self.count += images
        if self.wanted:
            sys.stderr.write(f"\r{self.count} images")
            sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self.wanted:
            sys.stderr.write("\n")
