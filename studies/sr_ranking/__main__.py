"""Does a ranking of super-resolution methods teach the embedded scorer to judge new pictures and new methods?

    python -m studies.sr_ranking --originals TEST --photos TRAIN --start rlfn.pth --ntire NTIRE --upscayl UPSCAYL \
        --panel WEIGHTS --rated "BIQ2021/Train (Images and MOS).csv" --rated-images BIQ2021/Images \
        --work FOLDER --out studies/results

TEST, TRAIN: photographs of the Berkeley set. NTIRE, UPSCAYL: copies of the repositories ofsoundof/NTIRE2022_ESR and
upscayl/custom-models; RLFN's file is in the first. PyPI's ncnn runs the second's networks. Everything that is made
lies in FOLDER, so that the command goes on where it stopped. Writes ``sr_ranking.md`` and ``sr_ranking.json``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.arena.photos import centers, load_photos, photos_in
from benchmarks.arena.tasks import TASKS
from iqaloss._progress import progress
from iqaloss.data.images import to_image
from iqaloss.evaluation.panel import load_panel
from studies.sr_ranking import report
from studies.sr_ranking.calibrating import VARIANTS, run_all
from studies.sr_ranking.methods import METHODS, Given, outputs
from studies.sr_ranking.truth import VOTERS, save_votes

HALVES = ("teach", "judge")


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("originals", "photos", "start", "ntire", "upscayl", "panel"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rated", type=Path, help="table of human scores, for Eq. 6")
    parser.add_argument("--rated-images", type=Path, help="folder of its images")
    parser.add_argument("--pictures", type=int, default=48, help="in each half: those that teach, those that judge")
    parser.add_argument("--side", type=int, default=160, help="of the crops")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=40, help="of a calibration")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--work", type=Path, required=True, help="folder for what is made")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    given = parse(words)
    torch.set_num_threads(1)
    count = given.pictures
    panel, losses = (load_panel(names, given.panel) for names in (VOTERS, ("lpips_vgg", "lpips_alex", "dists")))
    if panel.missing or losses.missing:
        raise SystemExit(f"needs all judges: {panel.missing or losses.missing}")
    photos = centers(load_photos(photos_in(given.originals), given.side, 2 * count), given.side)
    small = TASKS["x4"].degrade(photos, torch.Generator())
    made = Given(given.start, given.photos, given.ntire, given.upscayl, losses, given.panel)
    folders = [given.work / name for name in HALVES]
    with progress("outputs", len(METHODS)) as advance:
        for done, name in enumerate(outputs(made, small, [folder / "outputs" for folder in folders]), start=1):
            advance(done, note=name)
    for half, folder in enumerate(folders):
        (folder / "originals").mkdir(parents=True, exist_ok=True)
        for index, photo in enumerate(photos[half::2]):  # every second one: their names say when they were taken
            to_image(photo).save(folder / "originals" / f"{index:03}.png")
        save_votes(folder, list(METHODS), count, lambda: panel.measure)
    teach, judge = folders
    rated = (given.rated, given.rated_images) if given.rated else None
    found = run_all(
        teach, judge, list(METHODS), count, given.work / "runs",
        seeds=given.seeds, steps=given.steps, rated=rated, variants=given.variants,
    )  # fmt: skip
    report.write(given, teach / "votes.csv", judge / "votes.csv", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
