"""``iqaloss score`` and ``iqaloss scorers``: what the scorers say, and which there are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from torch import Tensor


def score(
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders of them.")],
    scorer: Annotated[str, typer.Option(help="A name out of `iqaloss scorers`.")] = "mdiqa-mobile",
    weights: Annotated[
        Path | None,
        typer.Option(help="Checkpoint file or folder; by default the weights inside the package."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
) -> None:
    """Score images: overall quality and every dimension, higher is better.

    Example: iqaloss score photo.png holidays/ --scorer mdiqa-mobile
    """
    import torch

    from iqaloss import create_scorer
    from iqaloss.scorers.base import Request

    files = image_files(images)
    model = create_scorer(scorer) if weights is None else create_scorer(scorer, weights)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device)
    rows = []
    for file in files:
        with torch.no_grad():
            output = model(read_image(file).to(device), Request(features=(), extras=()))
        values = {"score": output.score, **output.dimensions}
        rows.append({"image": str(file), **{name: round(float(value), 4) for name, value in values.items()}})
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
    else:
        _show(rows, f"{scorer}, higher is better")


def scorers(
    name: Annotated[str | None, typer.Argument(help="One scorer, to be told where its weights come from.")] = None,
) -> None:
    """List the scorers, or tell what one of them needs.

    Example: iqaloss scorers mdiqa
    """
    from iqaloss import list_scorers
    from iqaloss.scorers.registry import entry

    if name is not None:
        card = entry(name).card
        typer.echo(f"{card.title}\n{card.paper}\ndimensions: {', '.join(card.dimensions) or 'none, one score'}")
        inside = card.embedded
        typer.echo(card.how_to_get_weights() if inside is None else f"weights: inside the package ({inside.licence})")
        return
    rows = []
    for each in list_scorers():
        card = entry(each).card
        source = "inside the package" if card.embedded else f"iqaloss scorers {each} tells"
        rows.append({"name": each, "what": card.title, "dimensions": ", ".join(card.dimensions), "weights": source})
    _show(rows, "scorers")


def image_files(paths: list[Path]) -> list[Path]:
    """Returns the files, with folders replaced by the images in them; raises ``ValueError`` if there are none."""
    from PIL import Image

    known = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files.extend(sorted(file for file in path.iterdir() if file.suffix.lower() in known))
        elif path.is_file():
            files.append(path)
        else:
            raise ValueError(f"no image or folder at {path}")
    if not files:
        raise ValueError(f"no images in {', '.join(str(path) for path in paths)}")
    return files


def read_image(file: Path) -> Tensor:
    """Reads an image, turned as its camera says, to float RGB ``[1, 3, H, W]`` in [0, 1]."""
    import numpy as np
    import torch
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file) as opened:
            pixels = np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"{file} is no image that Pillow can read") from None
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255


def _show(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for column in rows[0]:
        table.add_column(column, justify="left" if isinstance(rows[0][column], str) else "right", overflow="fold")
    for row in rows:
        table.add_row(*(value if isinstance(value, str) else f"{value:.3f}" for value in row.values()))
    Console().print(table)
