"""What a person types: train (the default), evaluate, publish."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from iqaloss._progress import Stages
from iqaloss.scorers.factory import create_scorer
from iqaloss.scorers.mdiqa.model import MDIQA
from scorer_recipes.mdiqa_mobile.backbone import BACKBONE, train_backbone
from scorer_recipes.mdiqa_mobile.comparing import compare, with_distances
from scorer_recipes.mdiqa_mobile.engine import STATE, HeadTrainer
from scorer_recipes.mdiqa_mobile.inputs import degraded_groups, step_generator
from scorer_recipes.mdiqa_mobile.oppose import oppose, settle
from scorer_recipes.mdiqa_mobile.options import PHOTOGRAPHS, add_data, add_training, begin, open_run
from scorer_recipes.mdiqa_mobile.publish import publish
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.report import FILE, evaluate, export, say
from scorer_recipes.mdiqa_mobile.run import Run
from scorer_recipes.mdiqa_mobile.stages import refit, warm_start
from scorer_recipes.mdiqa_mobile.warmstart import initialize, leave_half_to_heads, load_imagenet, scale_pyramid

_DESCRIPTION = """\
Train the embedded scorer mdiqa-mobile from human-scored photographs (BIQ2021) and ImageNet weights.

  python -m scorer_recipes.mdiqa_mobile --data BIQ2021 --weights tf_efficientnet_lite0.safetensors --out run
  python -m scorer_recipes.mdiqa_mobile --data BIQ2021 --weights ... --out run --resume     continue, bit for bit
  python -m scorer_recipes.mdiqa_mobile evaluate run/mdiqa-mobile.safetensors --data BIQ2021 --clean FOLDER
  python -m scorer_recipes.mdiqa_mobile --data BIQ2021 --weights ... --panel WEIGHTS --out run    the fifth stage too

Five stages, each stored in --out, so that --resume goes on where a run was cut off:
1. The photographs are decoded once (8 GB), and the backbone, which starts from ImageNet weights, is trained on their
   scores for --backbone-steps steps.
2. A small super-resolution network is trained. Statistics of the backbone are stored for every photograph and for
   degraded versions; the statistics block and the fusion are fitted to them.
3. The heads are trained for --steps steps, on degraded versions, towards the end on scored photographs too.
4. Heads and statistics block are weighed in every dimension, and the overall score is fitted once more to what the
   trained scorer sees. Which channels of the backbone speak for which dimension is measured (alone: command compare).
5. With --panel, the scorer is trained on, in OUT/opposed, against restoration networks that learn beside it to please
   it (alone: command oppose, on a GPU by choice; settle makes a scorer of the weights that it averaged).
The official test table is never opened. On a CPU set OMP_WAIT_POLICY=passive when other work shares the cores; with
--device cuda the networks are on a GPU, and photographs are still read and degraded on the CPU.
"""

_OPTIONS = {
    "seed": "every random choice is a function of the seed and the step",
    "steps": "optimiser steps of the heads; 0 leaves out the third stage",
    "batch": "human-scored photographs in a step",
    "groups": "clean photographs in a step, each with three degraded versions",
    "learning_rate": "of the heads",
    "trunk_rate": "of the backbone; high rates destroy what ImageNet taught",
    "quiet": "weight of the penalty on the gradient's norm; 0 leaves it out",
    "backbone_steps": "optimiser steps of the backbone, before anything reads it; 0 keeps its ImageNet weights",
    "frozen_blocks": "leading backbone blocks that keep their ImageNet weights",
}


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the training command."""
    parser = argparse.ArgumentParser(
        prog="python -m scorer_recipes.mdiqa_mobile",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--weights", type=Path, required=True, help="ImageNet weights of the backbone, safetensors")
    add_data(parser, "folder for checkpoints, log and the exported file")
    add_training(parser, Recipe, _OPTIONS, STATE)
    parser.add_argument("--panel", type=Path, help="folder of the judges' weights, for the fifth stage")
    return parser


def train(arguments: Sequence[str]) -> int:
    """Trains, or continues, and exports the averaged weights."""
    given = build_parser().parse_args(arguments)
    recipe = begin(given, Recipe, STATE, BACKBONE)
    resumed = given.resume and (given.out / STATE).is_file()
    with Stages() as progress:
        run = open_run(given, recipe, progress)
        scorer, step = _all_stages(run, given.weights, resumed, given.stop)
    file = export(scorer, given.out / FILE, recipe, step)
    say(f"wrote {file}")
    if given.panel is None or step < recipe.steps:
        return 0
    words: dict[str, object] = {
        "--data": given.data,
        "--panel": given.panel,
        "--out": given.out / "opposed",
        "--cache": given.cache or given.out / PHOTOGRAPHS,
        "--device": given.device,
        "--seed": given.seed,
        **({"--threads": given.threads} if given.threads else {}),
    }
    return oppose([str(file), "--resume", *(str(word) for pair in words.items() for word in pair)])


def _all_stages(run: Run, imagenet: Path, resumed: bool, stop: int | None) -> tuple[MDIQA, int]:
    """Returns the trained scorer and the step that it has come to."""
    recipe = run.recipe
    torch.manual_seed(recipe.seed)
    scorer = create_scorer("mdiqa-mobile", weights=None, compare_levels=False)
    if not isinstance(scorer, MDIQA):
        raise TypeError(f"mdiqa-mobile is a {type(scorer).__name__}, expected MDIQA")
    load_imagenet(scorer, imagenet)
    initialize(scorer)
    scorer.to(run.device)
    if recipe.backbone_steps and not resumed:
        train_backbone(scorer, run)
    first = degraded_groups(run.source, recipe, step_generator(recipe.seed + 50, 0))
    scale_pyramid(scorer, torch.cat([group.images for group in first]))
    if recipe.warm_epochs and not resumed:
        warm_start(scorer, run)
        if recipe.steps:
            leave_half_to_heads(scorer)
    trainer = HeadTrainer(scorer, run)
    if resumed:
        trainer.resume()
    else:
        trainer.save()
    with (run.out / "log.csv").open("a", encoding="utf-8") as log:

        def report(step: int, terms: dict[str, float]) -> None:
            note = " ".join(f"{name} {value:.3f}" for name, value in terms.items())
            run.progress("heads", step + 1, recipe.steps, note)
            log.write(f"{step},{time.time():.1f},{','.join(f'{value:.5f}' for value in terms.values())}\n")
            log.flush()

        trainer.run(min(recipe.steps, stop or recipe.steps), report)
    scorer = trainer.finish()
    if recipe.refit and trainer.step == recipe.steps > 0:
        refit(scorer, run)
    return with_distances(scorer, run), trainer.step


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; training is the default. A user's mistake becomes one line and exit code 2."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"compare": compare, "evaluate": evaluate, "oppose": oppose, "publish": publish, "settle": settle}
    command = commands.get(given[0] if given else "", train)
    try:
        return command(given if command is train else given[1:])
    except (ValueError, TypeError, OSError, ImportError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
