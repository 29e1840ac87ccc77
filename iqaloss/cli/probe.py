"""``iqaloss probe``: what a scorer does to pictures of which we know how they were made, and how a loss is gamed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iqaloss.cli.options import SCORER_HELP, AsJson, Device, Weights

if TYPE_CHECKING:
    from iqaloss.evaluation.probes.gaming.report import GamingReport
    from iqaloss.evaluation.probes.report import ProbeReport

WHOLE = 0
"""The side that means whole photographs."""

LARGEST = 512
"""Largest side of the photographs that the small network learns from."""

NAME_HELP = f"{SCORER_HELP} With --images also a loss: MDIQALoss, 'MDIQALoss(mode=fr)', or a recipe file."


def probe(
    name: Annotated[str, typer.Argument(metavar="SCORER|LOSS", help=NAME_HELP)],
    clean: Annotated[
        Path | None, typer.Option(help="Probe the scorer: clean photographs that it was not trained on.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Probe how easily the loss is gamed, on these photographs.")
    ] = None,
    weights: Weights = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for probe.json and pictures, or gaming.json, gaming.md and gaming.png.")
    ] = None,
    images_limit: Annotated[
        int | None, typer.Option(min=1, help="Most photographs to use, in the order of names; 100, or 38 for a loss.")
    ] = None,
    side: Annotated[
        int | None, typer.Option(min=WHOLE, help="Side of their centre squares; 256 (0: whole), or 128 for a loss.")
    ] = None,
    panel: Annotated[
        Path | None, typer.Option(help="A loss: folder of the panel's weights; the variable IQALOSS_PANEL by default.")
    ] = None,
    weight: Annotated[
        float | None, typer.Option(help="A loss: its weight beside L1; its own, or 0.03 (prefilter: 0.2, FR: 1).")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A loss: a first look, fewer pictures and steps.")] = False,
    device: Device = None,
    seed: Annotated[int, typer.Option(help="Another seed, other noise, patches and networks.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Probe a scorer on clean photographs, or a loss for how easily it is gamed.

    --clean: photographs are degraded in eight steps in known ways. Response matrix: how far each dimension falls when
    light, colour, contrast, sharpness or freedom from noise is lost. Selectivity: the matching fall over the largest
    other one. Tau: Kendall's, over the steps. Then: whether photographs score above their upscales, and norm and
    spectrum of the gradient by the pixels, with the peaks that strides leave (1 is none).

    --images: the loss's score is raised by ascent in pixel space, by a network fitted to one picture, and by a small
    restoration network trained with L1 + w x loss. A panel (PSNR, LPIPS, DISTS, a ViT) says
    what the pictures are worth; what taught the scorer has no say. Gaming ratio: score gained for each unit of
    perceptual distance added, relative to the plain no-reference loss (docs/probe.md).

    Example: iqaloss probe mdiqa-mobile --clean BSDS500/data/images/test --out probed

    Example: iqaloss probe MDIQALoss --images BSDS500/data/images/val --panel weights --out gamed
    """
    if (clean is None) == (images is None):
        raise ValueError("give --clean FOLDER to probe a scorer, or --images FOLDER to probe a loss: one of the two")
    if clean is not None:
        for option, given in (("--panel", panel), ("--weight", weight), ("--quick", quick or None)):
            if given is not None:
                raise ValueError(f"{option} is for a loss, which --images probes; --clean probes a scorer")
        found = _probe_scorer(name, clean, weights, images_limit or 100, 256 if side is None else side, device, seed)
        if out is not None:
            _save_scorer(found, out)
        typer.echo(json.dumps(found.to_dict()) if as_json else found.to_text())
    elif images is not None:
        gamed = _probe_loss(name, images, weights, images_limit, side, panel, weight, quick, device, seed)
        if out is not None:
            _save_loss(gamed, out)
        typer.echo(json.dumps(gamed.to_dict()) if as_json else gamed.to_text())


def _probe_scorer(
    name: str, clean: Path, weights: str | None, limit: int, side: int, device: str | None, seed: int
) -> ProbeReport:
    from iqaloss._errors import check_device
    from iqaloss._processes import Ranks
    from iqaloss._progress import Stages
    from iqaloss.cli.display import load_scorer
    from iqaloss.evaluation.probes.pictures import read_pictures
    from iqaloss.evaluation.probes.report import prepared, probe_scorer

    place = check_device(Ranks.from_environment().device(device))
    scorer = prepared(load_scorer(name, weights), place)
    pictures = read_pictures(clean, limit, None if side == WHOLE else side)
    with Stages() as report:
        return probe_scorer(scorer, pictures, report, seed=seed)


def _probe_loss(
    name: str, images: Path, weights: str | None, limit: int | None, side: int | None, folder: Path | None,
    weight: float | None, quick: bool, device: str | None, seed: int,
) -> GamingReport:  # fmt: skip
    from iqaloss._errors import check_device
    from iqaloss._processes import Ranks
    from iqaloss._progress import Stages
    from iqaloss.evaluation.panel import load_panel
    from iqaloss.evaluation.probes.gaming import run, spec, subject
    from iqaloss.evaluation.probes.pictures import read_pictures

    given = spec.read_loss(name, weights)
    given.check()
    place = check_device(Ranks.from_environment().device(device))
    sizes = run.QUICK if quick else run.Sizes()
    sizes = sizes if side is None else replace(sizes, side=side)
    pictures = read_pictures(images, limit or sizes.total, sizes.side, LARGEST)
    panel = load_panel(folder=folder, device=place)
    for judge, why in panel.missing.items():
        typer.echo(f"not on the panel: {judge} ({why})", err=True)
    run.check_panel(panel)
    scorer = given.scorer.build()
    own = subject.subject_of(given, name, place, scorer)
    own = own if weight is None else replace(own, weight=weight)
    plain = None
    if not spec.is_plain(given):
        plain = subject.subject_of(spec.plain(given), f"plain {given.loss.__name__}", place, scorer)
    with Stages() as report:
        return run.probe_loss(own, plain, pictures, panel, sizes, report, seed=seed)


def _save_scorer(found: ProbeReport, out: Path) -> None:
    from iqaloss._files import write_text
    from iqaloss.evaluation.probes.plots import draw_responses, draw_spectrum

    write_text(out / "probe.json", json.dumps(found.to_dict(), indent=1) + "\n")
    try:
        draw_responses(found.responses, out / "responses.png", found.scorer)
        draw_spectrum(found.gradients, out / "gradients.png")
    except ImportError as error:
        typer.echo(f"{error} (the figures are in {out / 'probe.json'})", err=True)


def _save_loss(found: GamingReport, out: Path) -> None:
    from iqaloss._files import write_text
    from iqaloss.evaluation.probes.gaming.sheet import draw_sheet

    write_text(out / "gaming.json", json.dumps(found.to_dict(), indent=1) + "\n")
    write_text(out / "gaming.md", found.to_text())
    draw_sheet(found.pictures, out / "gaming.png")
