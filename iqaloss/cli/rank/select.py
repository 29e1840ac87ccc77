"""``iqaloss rank select``: which pictures are worth a vote."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from iqaloss.cli.display import counted, load_scorer
from iqaloss.cli.options import Weights
from iqaloss.cli.rank.tables import Folders, by_method, write


def select(
    folders: Folders,
    inputs: Annotated[Path | None, typer.Option(help="Folder of what the methods were given.")] = None,
    out: Annotated[Path, typer.Option(help="Table of the chosen pictures.")] = Path("pairs.csv"),
    count: Annotated[int, typer.Option(help="K: pictures for each pair of methods.")] = 16,
    diversity: Annotated[float, typer.Option(help="lambda: weight of the distance to what is chosen already.")] = 0.1,
    scorer: Annotated[str, typer.Option(help="The scorer whose features measure both distances.")] = "mdiqa-mobile",
    weights: Weights = None,
    distance: Annotated[
        str | None, typer.Option(help="Judge that tells outputs apart in the scorer's place: dists, lpips_vgg, ...")
    ] = None,
    panel: Annotated[Path | None, typer.Option(help="Folder of the judge's weights; else they are downloaded.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of computed distances; beside --out by default.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, ...")] = "cpu",
) -> None:
    """Choose the pictures that tell each two methods apart best: the MAD competition (Eq. 1).

    A run that stopped goes on where it was, and another --count or --diversity measures nothing again.

    Example: iqaloss rank select outputs/BSRGAN outputs/SeeSR --inputs photos --count 16 --out pairs.csv
    """
    from iqaloss import IQALoss
    from iqaloss._errors import check_device
    from iqaloss.evaluation.panel import load_panel
    from iqaloss.evaluation.scoring.score_files import fingerprint
    from iqaloss.ranking import selection

    named = by_method(folders)
    outputs = selection.find_outputs(named, inputs)
    loss = IQALoss(load_scorer(scorer, weights), "fr").to(check_device(device))
    apart, label = selection.by_features(loss), f"{scorer} {fingerprint(loss.scorer)}"
    if distance is not None:
        judges = load_panel([distance], panel, device)
        apart, label = selection.by_pairs(partial(judges.distance, distance)), f"{distance}, {label}"
    with counted("distances", shown=True, total=len(outputs.names)) as advance:
        distances, described = selection.measure(
            outputs, apart, selection.describe_by(loss), cache or out.with_suffix(".cache"), label=label,
            device=device, progress=advance,
        )  # fmt: skip
    write(out, rows := list(selection.select(outputs, distances, described, count, diversity)))
    typer.echo(f"{len(rows)} pairs of {len(named)} methods on {len(outputs.names)} pictures are in {out}")
