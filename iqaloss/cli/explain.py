"""``iqaloss explain``: where a score looks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iqaloss.cli import options

if TYPE_CHECKING:
    from iqaloss.evaluation.explaining import Explanation

MOST = 1024
"""Longest side that is explained; larger images are shrunk."""


def explain(
    image: Annotated[Path, typer.Argument(help="An image file.")],
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("explained.html"),
    scorer: Annotated[str, typer.Option(help=options.SCORER_HELP)] = "mdiqa-mobile",
    weights: options.Weights = None,
    device: options.Device = None,
) -> None:
    """Show where a score looks: how strongly each pixel moves it, overall and for each dimension.

    A bright place is one that a loss of this scorer will change first, not one that is bad. Maps are the gradient of
    the score, summed over colours and smoothed; they have different scales.

    Example: iqaloss explain photo.png --out explained.html
    """
    from iqaloss._errors import check_device
    from iqaloss._processes import Ranks
    from iqaloss.cli.display import load_scorer
    from iqaloss.data.images import open_image, to_tensor
    from iqaloss.evaluation.explaining import explain as find
    from iqaloss.report.provenance import file_digest, scorer_digest, versions

    picture = open_image(image)
    picture.thumbnail((MOST, MOST))
    place = check_device(Ranks.from_environment().device(device))
    found = find(load_scorer(scorer, weights).to(place), to_tensor(picture))
    for name, value in found.scores.items():
        typer.echo(f"{name:16} {value:.4f}")
    facts = {
        "image": str(image),
        "sha256 of the image": file_digest(image),
        "scorer": scorer,
        "sha256 of the scorer": scorer_digest(scorer, weights),
        **versions(),
    }
    typer.echo(f"page: {_write(found, picture, out, facts)}", err=True)


def _write(found: Explanation, picture: Any, out: Path, facts: dict[str, Any]) -> Path:
    from iqaloss.report.blocks import Block, Facts, Pictures, Table
    from iqaloss.report.maps import over
    from iqaloss.report.page import Report, write_report

    name = Path(str(facts["image"])).name
    versions = {"image": picture, **{key: over(picture, heat) for key, heat in found.maps.items()}}
    captions = {name: {key: f"{value:.3f}" for key, value in found.scores.items()}}
    first = next(iter(found.maps))
    blocks: list[Block] = [
        Pictures("Where it looks", {name: versions}, captions, ("image", first)),
        Table(
            "Scores",
            [
                {"score": key, "value": value, "gradient's length": float(found.gradients[key].norm())}
                for key, value in found.scores.items()
            ],
            "A bright place moves the score most: what a loss changes first. Maps have different scales.",
        ),
        Facts("What made it", facts),
    ]
    return write_report(Report(f"Where {facts['scorer']} looks in {name}", "Higher scores are better.", blocks), out)
