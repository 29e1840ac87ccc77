"""``iqaloss probe``: what a scorer does to pictures of which we know how they were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iqaloss.cli.options import SCORER_HELP, AsJson, Device, Weights

if TYPE_CHECKING:
    from iqaloss.evaluation.probes.report import ProbeReport

WHOLE = 0
"""The side that means whole photographs."""


def probe(
    name: Annotated[str, typer.Argument(metavar="SCORER", help=SCORER_HELP)],
    clean: Annotated[Path, typer.Option(help="Folder of clean photographs that the scorer was not trained on.")],
    weights: Weights = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for probe.json and, where matplotlib is installed, its pictures.")
    ] = None,
    images_limit: Annotated[int, typer.Option(min=1, help="Most photographs to use, in the order of names.")] = 100,
    side: Annotated[int, typer.Option(min=WHOLE, help="Side of their centre squares; 0 takes them whole.")] = 256,
    device: Device = None,
    seed: Annotated[int, typer.Option(help="Another seed, other noise.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Probe a scorer: which score falls when which property is lost, and what its gradient looks like.

    Clean photographs are degraded in eight steps in known ways. Response matrix: how far each dimension falls when
    light, colour, contrast, sharpness or freedom from noise is lost. Selectivity: the matching fall over the largest
    other one. Tau: Kendall's, over the steps. Then: whether photographs score above their upscales, and norm and
    spectrum of the gradient by the pixels, with the peaks that strides leave (1 is none).

    Example: iqaloss probe mdiqa-mobile --clean BSDS500/data/images/test --out probed
    """
    from iqaloss._errors import check_device
    from iqaloss._processes import Ranks
    from iqaloss._progress import Stages
    from iqaloss.cli.display import load_scorer
    from iqaloss.evaluation.probes.pictures import read_pictures
    from iqaloss.evaluation.probes.report import prepared, probe_scorer

    place = check_device(Ranks.from_environment().device(device))
    scorer = prepared(load_scorer(name, weights), place)
    pictures = read_pictures(clean, images_limit, None if side == WHOLE else side)
    with Stages() as report:
        found = probe_scorer(scorer, pictures, report, seed=seed)
    if out is not None:
        _save(found, out)
    typer.echo(json.dumps(found.to_dict()) if as_json else found.to_text())


def _save(found: ProbeReport, out: Path) -> None:
    from iqaloss._files import write_text
    from iqaloss.evaluation.probes.plots import draw_responses, draw_spectrum

    write_text(out / "probe.json", json.dumps(found.to_dict(), indent=1) + "\n")
    try:
        draw_responses(found.responses, out / "responses.png", found.scorer)
        draw_spectrum(found.gradients, out / "gradients.png")
    except ImportError as error:
        typer.echo(f"{error} (the figures are in {out / 'probe.json'})", err=True)
