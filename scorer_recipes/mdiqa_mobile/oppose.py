"""The oppose command: trains a scorer on against networks that learn to please it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import nn

from benchmarks.arena.networks import load_network
from iqaloss._files import replacing
from iqaloss._progress import Stages
from iqaloss.evaluation.probes.gaming.networks import Training, patches, pixel_loss, seeded
from iqaloss.evaluation.probes.gaming.networks import train as train_network
from iqaloss.scorers.checkpoints import save
from iqaloss.scorers.factory import create_scorer
from iqaloss.scorers.mdiqa.model import MDIQA
from scorer_recipes.mdiqa_mobile.comparing import with_distances
from scorer_recipes.mdiqa_mobile.looks import measures_of
from scorer_recipes.mdiqa_mobile.opposed import OPPOSED, OpposedTrainer
from scorer_recipes.mdiqa_mobile.opposition import Opposition
from scorer_recipes.mdiqa_mobile.options import add_data, add_training, begin, open_run
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.report import FILE, NAME, made_with, notes_of, say
from scorer_recipes.mdiqa_mobile.run import Run
from scorer_recipes.mdiqa_mobile.stages import refit_overall

START = Path(__file__).parent.parent.parent / "examples" / "demo" / "start.safetensors"
"""The demo's x4 network, which L1 has finished with."""

SMALL = Training(steps=600, rate=2e-3, batch=12, side=96)
WIDTH, BLOCKS, PICTURES = 32, 2, 400

SHARE = 0.8
"""Of the trained weights in what is exported. The rest are those that it began with, which agree better with people
(Wortsman et al., CVPR 2022, arXiv 2109.01903)."""

_OPTIONS = {
    "seed": "every random choice is a function of the seed and the step",
    "steps": "optimiser steps",
    "batch": "originals in a step, each in ten versions",
}


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m scorer_recipes.mdiqa_mobile oppose",
        description="Train a scorer on against restoration networks that learn beside it to please it.",
    )
    parser.add_argument("file", type=Path, help="safetensors file written by the training")
    add_data(parser, "folder for checkpoints, log and the exported file")
    add_training(parser, Opposition, _OPTIONS, OPPOSED)
    parser.add_argument("--panel", type=Path, help="folder of the judges' weights (default: IQALOSS_PANEL)")
    return parser


def oppose(arguments: Sequence[str]) -> int:
    """Trains, or continues, and exports the averaged weights."""
    given = build_parser().parse_args(arguments)
    plan = begin(given, Opposition, OPPOSED)
    with Stages() as progress:
        run = open_run(given, Recipe(seed=made_with(given.file)["seed"], bf16=False), progress)
        trainer = trained(given.file, run, plan, given.panel, given.stop)
        scorer = trainer.finish(read(given.file).to(run.device), SHARE)
        if trainer.step == plan.steps:
            refit_overall(scorer, run)
        found = with_distances(scorer, run)
    made = json.dumps({**dataclasses.asdict(plan), "step": trainer.step, "share": SHARE})
    notes = {**notes_of(given.file), "opposition": made}  # of the last, where a file goes through it once more
    say(f"wrote {save(found, given.out / FILE, dtype=torch.float16, **notes)}")
    return 0


def trained(file: Path, run: Run, plan: Opposition, panel: Path | None, stop: int | None = None) -> OpposedTrainer:
    """Trains a file's scorer to the end of a plan or to a step, and stores the state every 25 steps."""
    teacher = read(file).freeze().fold().to(run.device)
    scorer, measures = read(file).to(run.device), measures_of(panel, run.device)
    trainer = OpposedTrainer(scorer, teacher, run, plan, starts(run), measures)  # type: ignore[arg-type]
    if (run.out / OPPOSED).is_file():
        trainer.resume()
    with (run.out / "opposed.csv").open("a", encoding="utf-8") as log:
        while trainer.step < min(plan.steps, stop or plan.steps):
            terms = trainer.train_step()
            said = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
            run.progress("against opponents", trainer.step, plan.steps, said)
            log.write(f"{trainer.step},{time.time():.1f},{','.join(f'{value:.5f}' for value in terms.values())}\n")
            log.flush()
            if trainer.step % 25 == 0:
                trainer.save()
    trainer.save()
    return trainer


def read(file: Path) -> MDIQA:
    """Returns a file's scorer, to be trained."""
    scorer = create_scorer(NAME, file, frozen=False)
    if not isinstance(scorer, MDIQA):
        raise TypeError(f"{NAME} is a {type(scorer).__name__}, expected MDIQA")
    return scorer


def starts(run: Run) -> list[nn.Module]:
    """Returns the networks that opponents start from: the demo's, and one that is trained on the spot."""
    with torch.random.fork_rng(devices=[]):
        first = load_network("msrresnet", START)
    small, file = seeded(run.recipe.seed, WIDTH, BLOCKS), run.out / "small_network.pt"
    if file.is_file():
        small.load_state_dict(torch.load(file, weights_only=True))
    else:
        rows = run.source.clean[:: max(1, len(run.source.clean) // PICTURES)]
        pictures = [run.images.full(row) for row in rows]
        batches = patches(pictures, SMALL, run.recipe.seed)
        train_network(small, pixel_loss, batches, SMALL, partial(run.progress, "a small x4 network"))
        with replacing(file) as temporary:
            torch.save(small.state_dict(), temporary)
    return [network.to(run.device).eval().requires_grad_(False) for network in (first, small)]
