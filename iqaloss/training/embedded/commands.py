"""What a person types: train (the default), evaluate, publish."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.scorers.registry import create_scorer
from iqaloss.training.embedded.data import DecodedImages, Rows, clean_indices, read_rows, split_rows
from iqaloss.training.embedded.engine import STATE, Trainer
from iqaloss.training.embedded.fitting import (
    fit_dimensions,
    fit_overall,
    fit_statistics,
    matching_falls,
    seen_by_statistics,
)
from iqaloss.training.embedded.progress import Progress
from iqaloss.training.embedded.publish import publish
from iqaloss.training.embedded.recipe import Recipe
from iqaloss.training.embedded.report import FILE, evaluate, export
from iqaloss.training.embedded.speed import keep_memory
from iqaloss.training.embedded.statistics import (
    degraded_statistics,
    observed_photographs,
    observed_versions,
    scored_statistics,
)
from iqaloss.training.embedded.views import degraded_groups, step_generator
from iqaloss.training.embedded.warmstart import initialise, leave_half_to_heads, load_imagenet, scale_pyramid

_DESCRIPTION = """\
Train the embedded scorer mdiqa-mobile from human-scored photographs (BIQ2021) and ImageNet weights.

  python -m iqaloss.training.embedded --data BIQ2021 --weights tf_efficientnet_lite0.safetensors --out run
  python -m iqaloss.training.embedded --data BIQ2021 --weights ... --out run --resume     continue, bit for bit
  python -m iqaloss.training.embedded evaluate run/mdiqa-mobile.safetensors --data BIQ2021 --clean FOLDER

Three stages, each stored in --out, so that --resume goes on where a run was cut off:
1. The photographs are decoded once (8 GB). Statistics of the backbone with ImageNet weights are stored for every
   photograph and for degraded versions; the statistics part and the fusion are fitted to them.
2. The heads are trained for --steps steps, on degraded versions, towards the end on scored photographs too.
3. The overall score is fitted once more to what the trained scorer sees; the dimensions stay as they are.
The official test table is never opened. On a CPU set OMP_WAIT_POLICY=passive when other work shares the cores.
"""

_OPTIONS = {
    "seed": "every random choice is a function of the seed and the step",
    "steps": "optimiser steps of the whole network; 0 leaves out the second stage",
    "batch": "human-scored photographs in a step",
    "groups": "clean photographs in a step, each with three degraded versions",
    "learning_rate": "of the heads",
    "trunk_rate": "of the backbone; high rates destroy what ImageNet taught",
    "frozen_blocks": "leading backbone blocks that keep their ImageNet weights",
}


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the training command."""
    parser = argparse.ArgumentParser(
        prog="python -m iqaloss.training.embedded",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, required=True, help="BIQ2021 folder, or images beside scores.csv")
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights of the backbone, safetensors")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and the exported file")
    parser.add_argument("--cache", type=Path, help="file of decoded photographs (default: OUT/photographs.npy)")
    parser.add_argument("--resume", action="store_true", help="continue from OUT/state.pt with the same recipe")
    parser.add_argument("--stop", type=int, help="stop at this step; the learning rate still follows --steps")
    parser.add_argument("--threads", type=int, help="CPU threads")
    for field in dataclasses.fields(Recipe):
        if field.name in _OPTIONS:
            option = "--" + field.name.replace("_", "-")
            about = f"{_OPTIONS[field.name]} (default {field.default})"
            parser.add_argument(option, type=type(field.default), default=field.default, help=about)
    return parser


def train(arguments: Sequence[str]) -> int:
    """Trains, or continues, and exports the averaged weights."""
    given = build_parser().parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    fields = {field.name for field in dataclasses.fields(Recipe)}
    recipe = Recipe(**{name: value for name, value in vars(given).items() if name in fields})
    keep_memory()
    given.out.mkdir(parents=True, exist_ok=True)
    rows = read_rows(given.data)
    training, _ = split_rows(rows)
    images = DecodedImages(rows, given.cache or given.out / "photographs.npy")
    progress = Progress()

    torch.manual_seed(recipe.seed)
    scorer = create_scorer("mdiqa-mobile", weights=None)
    if not isinstance(scorer, MDIQA):
        raise TypeError(f"mdiqa-mobile is a {type(scorer).__name__}, expected MDIQA")
    load_imagenet(scorer, given.weights)
    initialise(scorer)
    first = degraded_groups(images, clean_indices(rows, training), recipe, step_generator(recipe.seed + 50, 0))
    scale_pyramid(scorer, torch.cat([group.images for group in first]))
    resumed = given.resume and (given.out / STATE).is_file()
    if (given.out / STATE).is_file() and not given.resume:
        raise ValueError(f"{given.out / STATE} exists: pass --resume to continue, or another --out")
    if recipe.warm_epochs and not resumed:
        warm_start(scorer, images, rows, training, recipe, given.out, progress)
        if recipe.steps:
            leave_half_to_heads(scorer)
    trainer = Trainer(scorer, images, rows, training, recipe, given.out)
    if resumed:
        trainer.resume()
    else:
        trainer.save()
    log = (given.out / "log.csv").open("a", encoding="utf-8")

    def report(step: int, parts: dict[str, float]) -> None:
        note = " ".join(f"{name} {value:.3f}" for name, value in parts.items())
        progress("step", step, recipe.steps, note)
        log.write(f"{step},{time.time():.1f},{','.join(f'{value:.5f}' for value in parts.values())}\n")
        log.flush()

    with log:
        trainer.run(min(recipe.steps, given.stop or recipe.steps), report)
    if recipe.refit and trainer.step == recipe.steps > 0:
        refit(trainer.averaged, images, rows, training, recipe, given.out, progress)
    Progress.line(f"wrote {export(trainer.averaged, given.out / FILE, recipe, trainer.step)}")
    return 0


def warm_start(
    scorer: MDIQA,
    images: DecodedImages,
    rows: Rows,
    training: list[int],
    recipe: Recipe,
    out: Path,
    progress: Progress,
) -> None:
    """Fits the statistics part and the fusion on statistics of the backbone as it is; they are kept in ``out``."""
    statistics, numbers = scored_statistics(scorer, images, training, recipe, out / "scored.pt", progress)
    clean = clean_indices(rows, training)
    degraded = degraded_statistics(scorer, images, clean, recipe, out / "degraded.pt", progress)
    scores = torch.tensor(rows.scores)
    fit_statistics(scorer, (statistics, numbers), scores, degraded, recipe, progress)
    versions, targets, _, matching = degraded
    seen, worse = seen_by_statistics(scorer, statistics), seen_by_statistics(scorer, versions)
    falls = matching_falls(targets, matching)
    fit_overall(scorer, seen, scores[numbers], worse, falls, recipe, recipe.warm_order)


def refit(
    scorer: MDIQA,
    images: DecodedImages,
    rows: Rows,
    training: list[int],
    recipe: Recipe,
    out: Path,
    progress: Progress,
) -> None:
    """Fits the statistics part and the fusion beside the trained heads; what the scorer sees is kept in ``out``."""
    fixed = scorer.copy().freeze().fold()  # the same function, in half the time
    seen, numbers, whole = observed_photographs(fixed, images, training, recipe, out / "observed.pt", progress)
    clean = clean_indices(rows, training)
    worse, targets, known, matching = observed_versions(fixed, images, clean, recipe, out / "versions.pt", progress)
    scores, falls = torch.tensor(rows.scores)[numbers], matching_falls(targets, matching)
    updated = fit_dimensions(scorer, seen, scores, worse, (targets, known, matching), recipe, progress)
    # Random views teach the dimensions; in the fit of the overall score they would cost .005 of SRCC.
    seen, scores = updated(seen).where(whole), scores[whole]
    fit_overall(scorer, seen, scores, updated(worse), falls, recipe, recipe.refit_order)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; training is the default. A user's mistake becomes one line and exit code 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = {"evaluate": evaluate, "publish": publish}.get(given[0] if given else "", train)
    try:
        return command(given if command is train else given[1:])
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
