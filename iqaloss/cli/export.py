"""``iqaloss export``: a scorer for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from iqaloss.cli import options


def export(
    scorer: Annotated[str, typer.Argument(help=options.SCORER_HELP)],
    path: Annotated[Path, typer.Argument(metavar="FILE", help="What to write: FILE.onnx, or FILE.pt2 for torch.")],
    weights: options.Weights = None,
    height: Annotated[int, typer.Option(help="Height of the images that it will take.")] = 256,
    width: Annotated[int, typer.Option(help="Width of the images that it will take.")] = 256,
    page: Annotated[
        Path | None, typer.Option(help="Folder for a page that scores pictures in a browser with the ONNX file.")
    ] = None,
) -> None:
    """Export a scorer to ONNX or torch.export: any batch size, images of one size, normalization inside.

    The file's scores are held against the scorer's before it is written, ONNX by onnxruntime. It says of itself which
    scorer it is, the digest of its weights, and what it wants to see.

    Example: iqaloss export mdiqa-mobile scorer.onnx --height 256 --width 256

    A page for a browser: iqaloss export mdiqa-mobile scorer.onnx --page page
    """
    from iqaloss.cli.display import load_scorer
    from iqaloss.integrations.browser import page_facts, write_page
    from iqaloss.integrations.onnx import export_scorer, metadata
    from iqaloss.report.provenance import scorer_digest

    if page is not None and path.suffix != ".onnx":
        raise ValueError(f"--page needs a file that ends with .onnx, which browsers run; got {path}")
    model, digest = load_scorer(scorer, weights), scorer_digest(scorer, weights)
    found = export_scorer(model, path, digest, height, width)
    typer.echo(f"{found.path}: scores at most {found.difference:.1e} from the scorer's")
    if page is not None:
        lacking = write_page(found.path, page_facts(metadata(model, digest, height, width), height, width), page)
        if lacking:
            typer.echo(
                f"put beside it, out of the folder dist of the npm package onnxruntime-web: {', '.join(lacking)}"
            )
        typer.echo(f"page: python -m http.server --directory {page}, then http://localhost:8000")
