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
) -> None:
    """Export a scorer to ONNX or torch.export: any batch size, images of one size, normalization inside.

    The file's scores are held against the scorer's before it is written, ONNX by onnxruntime. It says of itself which
    scorer it is, the digest of its weights, and what it wants to see.

    Example: iqaloss export mdiqa-mobile scorer.onnx --height 256 --width 256
    """
    from iqaloss.cli.display import load_scorer
    from iqaloss.integrations.onnx import export_scorer
    from iqaloss.report.provenance import scorer_digest

    found = export_scorer(load_scorer(scorer, weights), path, scorer_digest(scorer, weights), height, width)
    typer.echo(f"{found.path}: scores at most {found.difference:.1e} from the scorer's")
