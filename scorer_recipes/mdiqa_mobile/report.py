"""The evaluate and export commands: figures as JSON and as text, and the file that ships."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from iqaloss._files import write_text
from iqaloss._progress import Stages
from iqaloss.evaluation.probes.pictures import read_pictures
from iqaloss.evaluation.probes.plots import draw_responses, draw_spectrum
from iqaloss.evaluation.probes.report import ProbeReport, prepared, probe_scorer
from iqaloss.scorers import checkpoints
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.factory import create_scorer
from iqaloss.scorers.registry import entry
from scorer_recipes.mdiqa_mobile.data import read_rated, split_rows
from scorer_recipes.mdiqa_mobile.evaluate import crop_agreement, human_agreement
from scorer_recipes.mdiqa_mobile.pictures import draw_failures
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.speed import keep_memory
from testing.costs import total_flops

NAME = "mdiqa-mobile"
FILE = f"{NAME}.safetensors"
NATIVE = 200
"""Photographs that are scored at their own resolution too; each costs as much as a dozen small ones."""


def say(text: str) -> None:
    """Writes a result to the standard output."""
    sys.stdout.write(text + "\n")


def export(scorer: Scorer, out: Path, recipe: Recipe, step: int) -> Path:
    """Writes a trained scorer as fp16 safetensors, with its recipe inside.

    Args:
        scorer: The trained scorer.
        out: File to write.
        recipe: What it was trained with.
        step: Steps that it was trained for.
    """
    return checkpoints.save(
        scorer,
        out,
        dtype=torch.float16,
        recipe=json.dumps(dataclasses.asdict(recipe)),
        step=str(step),
        data="BIQ2021 training rows without the published validation split",
    )


def agreement(scorer: Scorer, given: argparse.Namespace, progress: Stages) -> dict[str, Any]:
    """Returns the figures of the model card that need human scores."""
    found: dict[str, Any] = {}
    if given.data is not None:
        rated = read_rated(given.data)
        held = rated.subset(split_rows(rated)[1][: given.limit])
        found["validation"] = human_agreement(scorer, held, progress)
        if given.native:
            some = held.subset(range(min(NATIVE, len(held))))
            found["validation_native"] = human_agreement(scorer, some, progress, side=512)
            found["crops"] = crop_agreement(scorer, some, progress)
        if given.official_test:
            found["test"] = human_agreement(scorer, read_rated(given.data, "test"), progress)
    return found


def gmacs(scorer: Scorer) -> float:
    """Returns the billions of multiply-accumulates that scoring a 256x256 image takes."""
    with torch.no_grad():
        flops, _ = total_flops(scorer, torch.zeros(1, 3, 256, 256))
    return flops / 2e9


def shipped() -> Path:
    """Returns the file in the package; raises ``ValueError`` where there is none."""
    embedded = entry(NAME).card.embedded
    if embedded is None:
        raise ValueError(f"no file of {NAME} is in the package: name one")
    return checkpoints.embedded_path(embedded)


def made_with(path: Path) -> dict[str, int]:
    """Returns the seed that an exported file was trained with, the backbone's steps, and those against opponents."""
    notes = checkpoints.read_metadata(path)
    recipe, opposition = (json.loads(notes.get(name, "{}")) for name in ("recipe", "opposition"))
    return {
        "seed": int(recipe["seed"]),
        "backbone_steps": int(recipe.get("backbone_steps", 0)),
        "opposed_steps": int(opposition.get("step", 0)),
    }


def notes_of(path: Path) -> dict[str, str]:
    """Returns what an exported file says of its making, for a file that is made of it."""
    return {key: text for key, text in checkpoints.read_metadata(path).items() if not key.startswith("iqaloss.")}


def as_text(found: dict[str, Any]) -> str:
    """Lays size and agreement with people out as lines."""
    lines = [f"parameters {found['parameters']:,}"]
    for key in ("validation", "validation_native", "test"):
        if key not in found:
            continue
        table = found[key]
        lines.append(
            f"{key} ({table['images']} photographs at {table['side']}): "
            f"SRCC {table['srcc']:.4f} [{table['srcc_95'][0]:.4f}, {table['srcc_95'][1]:.4f}]  "
            f"PLCC {table['plcc']:.4f} [{table['plcc_95'][0]:.4f}, {table['plcc_95'][1]:.4f}]"
        )
        lines += [
            f"  {name}: {sub['images']} photographs, SRCC {sub['srcc']:.4f}, PLCC {sub['plcc']:.4f}"
            for name, sub in table["subsets"].items()
        ]
    for side, crop in found.get("crops", {}).items():
        lines.append(
            f"centre crops of {side}: SRCC {crop['srcc']:.4f}, PLCC {crop['plcc']:.4f}, mean score {crop['mean']:.3f}, "
            f"SRCC with the score of the whole {crop['srcc_with_whole']:.4f}"
        )
    return "\n".join(lines)


def evaluate(arguments: Sequence[str]) -> int:
    """Prints and stores the figures of a scorer."""
    parser = argparse.ArgumentParser(
        prog="python -m scorer_recipes.mdiqa_mobile evaluate",
        description="Measure a scorer on the published validation split and on clean photographs.",
    )
    parser.add_argument("file", type=Path, nargs="?", help="safetensors file (default: the one in the package)")
    parser.add_argument("--data", type=Path, help="BIQ2021 folder; without it no human scores are used")
    parser.add_argument("--clean", type=Path, help="folder of clean photographs that were not trained on (BSDS)")
    parser.add_argument("--limit", type=int, help="use the first so many scored photographs only")
    parser.add_argument("--clean-limit", type=int, default=100, help="clean photographs to use (default %(default)s)")
    parser.add_argument("--native", action="store_true", help="also score the photographs at 512x512, and crops")
    parser.add_argument(
        "--official-test", action="store_true", help="open BIQ2021's test split: once, when nothing is chosen any more"
    )
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--pictures", type=Path, help="draw the model card's pictures into this folder")
    parser.add_argument("--threads", type=int, help="CPU threads")
    given = parser.parse_args(arguments)
    keep_memory()
    if given.threads:
        torch.set_num_threads(given.threads)
    file = given.file or shipped()
    scorer = create_scorer(NAME, weights=file)
    parameters = sum(parameter.numel() for parameter in scorer.parameters())
    scorer = prepared(scorer.freeze())
    found = {"parameters": parameters, "gmacs": gmacs(scorer), **made_with(file)}
    probed = None
    with Stages() as progress:
        found |= agreement(scorer, given, progress)
        if given.clean is not None:
            probed = probe_scorer(scorer, read_pictures(given.clean, given.clean_limit), progress)
    say(as_text(found))
    if probed is not None:
        found |= probed.to_dict()
        say(probed.to_text())
    if given.pictures is not None:
        draw(scorer, probed, given.pictures)
    if given.json is not None:
        write_text(given.json, json.dumps(found, indent=1) + "\n")
    return 0


def draw(scorer: Scorer, probed: ProbeReport | None, folder: Path) -> None:
    """Draws the pictures of the model card that the figures allow."""
    folder.mkdir(parents=True, exist_ok=True)
    if probed is not None:
        say(f"drew {draw_responses(probed.responses, folder / f'{NAME}-responses.png', NAME)}")
        say(f"drew {draw_spectrum(probed.gradients, folder / f'{NAME}-gradients.png')}")
    say(f"drew {draw_failures(scorer, folder / f'{NAME}-hard.jpg')}")
