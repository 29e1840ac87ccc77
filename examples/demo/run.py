"""The demo from photographs to picture and table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from examples.demo.photos import Photos, find_photos, prepare
from examples.demo.picture import side_by_side
from examples.demo.plan import Plan
from examples.demo.report import INDEPENDENT, JUDGED, PATTERN, Row, average, markdown, measure, verdict, write_csv
from examples.demo.trainings import load_network, restore, train
from iqaloss.evaluation.panel import JUDGES, load_panel

BICUBIC, TRUTH = "bicubic", "ground truth"
PANEL = ("lpips_vgg", "lpips_alex", "dists")

Table = dict[str, Row]


def run_demo(
    plan: Plan,
    out: Path,
    data: Path | None = None,
    *,
    say: Callable[[str], None] = lambda text: None,
    progress: bool = True,
) -> Table:
    """Trains, compares and writes everything; goes on where an earlier run was stopped.

    Args:
        plan: What to train.
        out: Where to write ``comparison.png``, ``table.md``, ``table.csv``, ``restored/``, ``experiments/`` and
            ``tb_logger/``.
        data: A folder of photographs; None takes those inside scikit-image.
        say: Called with a line for each stage.
        progress: Whether the trainings show progress bars.

    Returns:
        Title to the mean row over the held-out photographs.
    """
    from iqaloss.integrations.basicsr import register

    began, out = time.process_time(), out.absolute()
    training, held_out = find_photos(data)
    register()
    photos = prepare(training, held_out, out / "data")
    say(f"{len(training)} photographs to learn from, held out: {', '.join(path.stem for path in held_out)}")
    for run in plan.runs:
        say(f"training: {run.title}")
        train(run, plan, photos, out, progress=progress)
    say("comparing on the held-out photographs")
    pictures = restore_all(plan, photos, out)
    # Nothing is downloaded for a demo.
    panel = load_panel(PANEL if os.environ.get("IQALOSS_PANEL") else ())
    by_image = {
        name: {title: measure(image, versions[TRUTH], plan, panel) for title, image in versions.items()}
        for name, versions in pictures.items()
    }
    titles = list(next(iter(by_image.values())))
    table = {title: average([rows[title] for rows in by_image.values()]) for title in titles}
    side_by_side(pictures, BICUBIC).save(out / "comparison.png")
    write_csv(out / "table.csv", by_image, table)
    notes = [
        *verdict(table, plan),
        f"mean over {len(held_out)} held-out photographs: {', '.join(path.stem for path in held_out)}",
        "PSNR and SSIM on the Y channel, 4 border pixels left out; score and dimensions by the scorer, means over "
        f"tiles of {JUDGED} pixels",
        f"no training saw: {INDEPENDENT}, 1 - skimage.measure.blur_effect (Crété-Roffet et al. 2007); {PATTERN}, power "
        "at periods of two and four pixels over that of the truth; distances of the panel, where "
        "IQALOSS_PANEL names the folder of their weights",
        *(f"not on the panel: {JUDGES[name].title}: {why}" for name, why in panel.missing.items()),
        f"{plan.steps} steps each, from a network of L1; loss_weight {plan.loss_weight:g}, three times it once; "
        + ", ".join(f"{name} {value}" for name, value in plan.options.items()),
        f"CPU time of this run: {(time.process_time() - began) / 60:.1f} minutes",
    ]
    (out / "table.md").write_text(markdown(table, notes), encoding="utf-8")
    for note in notes:
        say(note)
    return table


def restore_all(plan: Plan, photos: Photos, out: Path) -> dict[str, dict[str, Image.Image]]:
    """Restores every held-out photograph by bicubic interpolation and every network, and keeps the results."""
    networks = {run.title: load_network(run, plan, photos, out) for run in plan.runs}
    results: dict[str, dict[str, Image.Image]] = {}
    for path in sorted((photos.held_out / "gt").glob("*.png")):
        with Image.open(path) as opened:
            truth = opened.convert("RGB")
        with Image.open(photos.held_out / "lq" / path.name) as opened:
            small = opened.convert("RGB")
        versions = {BICUBIC: small.resize(truth.size, Image.Resampling.BICUBIC)}
        versions.update({title: restore(network, small) for title, network in networks.items()})
        versions[TRUTH] = truth
        for title, image in versions.items():
            file = out / "restored" / title.replace(" ", "_") / path.name
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file)
        results[path.stem] = versions
    return results
