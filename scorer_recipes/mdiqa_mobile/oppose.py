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
from scorer_recipes.mdiqa_mobile.stepping import ahead

START = Path(__file__).parent.parent.parent / "examples" / "demo" / "start.safetensors"
"""The demo's x4 network, which L1 has finished with."""

SMALL = Training(steps=600, rate=2e-3, batch=12, side=96)
WIDTH, BLOCKS, PICTURES = 32, 2, 400

AVERAGED = "averaged.safetensors"
"""Where the averaged weights go, before :func:`settled`."""

EVERY = 50
"""Steps after which the state is stored."""

_OPTIONS = {
    "seed": "every random choice is a function of the seed and the step",
    "steps": "optimiser steps",
    "batch": "originals in a step, each in sixteen versions",
    "wholes": "whole photographs in a step, and half as many as there are crops",
    "distances": "weight of the full-reference distance's error",
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
    parser.add_argument("--photographs", type=int, help="learn from so many, chosen by their names (default: all)")
    parser.add_argument("--workers", type=int, default=0, help="processes that degrade photographs ahead (default 0)")
    return parser


def oppose(arguments: Sequence[str]) -> int:
    """Trains, or continues, and exports the averaged weights."""
    given = build_parser().parse_args(arguments)
    plan = begin(given, Opposition, OPPOSED)
    with Stages() as progress:
        run = open_run(given, Recipe(seed=made_with(given.file)["seed"], bf16=False), progress)
        step = trained(given.file, run, plan, given.panel, given.stop, given.workers)
        if step < plan.steps:
            say(f"wrote {run.out / AVERAGED}, step {step} of {plan.steps}")
            return 0
        scorer = settled(run.out / AVERAGED, run)
    say(f"wrote {save(scorer, given.out / FILE, dtype=torch.float16, **notes_of(run.out / AVERAGED))}")
    return 0


def settle(arguments: Sequence[str]) -> int:
    """Makes a scorer of averaged weights, where those were trained elsewhere: the last part of the oppose command."""
    parser = argparse.ArgumentParser(
        prog="python -m scorer_recipes.mdiqa_mobile settle",
        description="Fit the overall score of averaged weights to people, and measure which channels see what.",
    )
    parser.add_argument("averaged", type=Path, help=f"what the training against opponents stored as {AVERAGED}")
    add_data(parser, "folder for the exported file")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    with Stages() as progress:
        run = open_run(given, Recipe(seed=made_with(given.averaged)["seed"], bf16=False), progress)
        scorer = settled(given.averaged, run)
    say(f"wrote {save(scorer, given.out / FILE, dtype=torch.float16, **notes_of(given.averaged))}")
    return 0


def settled(averaged: Path, run: Run) -> MDIQA:
    """Returns averaged weights with an overall score that is fitted to people, and with distances.

    Args:
        averaged: File of the averaged weights.
        run: Photographs and scores.
    """
    scorer = read(averaged).to(run.device)
    refit_overall(scorer, run)
    return with_distances(scorer, run)


def trained(
    file: Path, run: Run, plan: Opposition, panel: Path | None, stop: int | None = None, workers: int = 0
) -> int:
    """Trains a file's scorer to the end of a plan or to a step, and stores the state every 50 steps.

    Returns:
        The step that it has come to; the averaged weights are in the run's folder.
    """
    teacher = read(file).freeze().fold().to(run.device)
    scorer, measures = read(file).to(run.device), measures_of(panel, run.device)
    trainer = OpposedTrainer(scorer, teacher, run, plan, starts(run), measures)  # type: ignore[arg-type]
    if (run.out / OPPOSED).is_file():
        trainer.resume()

    def store() -> None:
        trainer.save()
        made = json.dumps({**dataclasses.asdict(plan), "step": trainer.step, "photographs": len(run.training)})
        notes = {**notes_of(file), "opposition": made}  # of the last, where a file goes through it once more
        save(trainer.averaged(), run.out / AVERAGED, dtype=torch.float16, **notes)

    last = min(plan.steps, stop or plan.steps)
    with (run.out / "opposed.csv").open("a", encoding="utf-8") as log:
        for shown in ahead(trainer.pictures, range(trainer.step, last), workers):
            terms = trainer.train_step(shown)
            said = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
            run.progress("against opponents", trainer.step, plan.steps, said)
            log.write(f"{trainer.step},{time.time():.1f},{','.join(f'{value:.5f}' for value in terms.values())}\n")
            log.flush()
            if trainer.step % EVERY == 0 and trainer.step < last:
                store()
    store()
    return trainer.step


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
