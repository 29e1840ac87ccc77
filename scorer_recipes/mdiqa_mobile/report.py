"""The evaluate and export commands: figures as JSON and as text, and the file that ships."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from iqaloss.scorers import checkpoints
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.factory import create_scorer
from iqaloss.scorers.registry import entry
from scorer_recipes.mdiqa_mobile.data import TEST_TABLE, read_rows, split_rows
from scorer_recipes.mdiqa_mobile.degrade import DIMENSIONS
from scorer_recipes.mdiqa_mobile.evaluate import (
    human_agreement,
    read_clean,
    responses,
    upscale_order,
)
from scorer_recipes.mdiqa_mobile.gradients import crop_agreement, gradient_figures
from scorer_recipes.mdiqa_mobile.pictures import draw_failures, draw_responses, draw_spectrum
from scorer_recipes.mdiqa_mobile.progress import Progress
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.speed import keep_memory

NAME = "mdiqa-mobile"
FILE = f"{NAME}.safetensors"
NATIVE = 200
"""Photographs that are scored at their own resolution too; each costs as much as a dozen small ones."""


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


def measure(scorer: Scorer, given: argparse.Namespace) -> dict[str, Any]:
    """Returns every figure of the model card."""
    progress = Progress()
    found: dict[str, Any] = {}
    if given.data is not None:
        rows = read_rows(given.data)
        held = rows.subset(split_rows(rows)[1][: given.limit])
        found["validation"] = human_agreement(scorer, held, progress)
        if given.native:
            some = held.subset(range(min(NATIVE, len(held))))
            found["validation_native"] = human_agreement(scorer, some, progress, side=512)
            found["crops"] = crop_agreement(scorer, some, progress)
        if given.official_test:
            found["test"] = human_agreement(scorer, read_rows(given.data, (TEST_TABLE,)), progress)
    if given.clean is not None:
        pictures = read_clean(given.clean, given.clean_limit)
        found["upscaling"] = upscale_order(scorer, pictures, progress)
        found["responses"] = responses(scorer, pictures, progress)
        found["gradients"] = gradient_figures(scorer, pictures, progress)
    return found


def gmacs(scorer: Scorer) -> float:
    """Returns the billions of multiply-accumulates that scoring a 256x256 image takes."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        scorer(torch.zeros(1, 3, 256, 256))
    return counter.get_total_flops() / 2e9


def shipped() -> Path:
    """Returns the file in the package; raises ``ValueError`` where there is none."""
    embedded = entry(NAME).card.embedded
    if embedded is None:
        raise ValueError(f"no file of {NAME} is in the package: name one")
    return checkpoints.embedded_path(embedded)


def made_with(path: Path) -> dict[str, int]:
    """Returns the seed and the backbone's steps that an exported file was trained with."""
    recipe = json.loads(checkpoints.read_metadata(path)["recipe"])
    return {"seed": int(recipe["seed"]), "backbone_steps": int(recipe.get("backbone_steps", 0))}


def as_text(found: dict[str, Any]) -> str:
    """Lays the figures out as lines."""
    lines = [f"parameters {found['parameters']:,}"]
    for key in ("validation", "validation_native", "test"):
        if key not in found:
            continue
        part = found[key]
        lines.append(
            f"{key} ({part['images']} photographs at {part['side']}): "
            f"SRCC {part['srcc']:.4f} [{part['srcc_95'][0]:.4f}, {part['srcc_95'][1]:.4f}]  "
            f"PLCC {part['plcc']:.4f} [{part['plcc_95'][0]:.4f}, {part['plcc_95'][1]:.4f}]"
        )
        lines += [
            f"  {name}: {sub['images']} photographs, SRCC {sub['srcc']:.4f}, PLCC {sub['plcc']:.4f}"
            for name, sub in part["subsets"].items()
        ]
    for side, part in found.get("crops", {}).items():
        lines.append(
            f"centre crops of {side}: SRCC {part['srcc']:.4f}, PLCC {part['plcc']:.4f}, mean score {part['mean']:.3f}, "
            f"SRCC with the score of the whole {part['srcc_with_whole']:.4f}"
        )
    if "gradients" in found:
        part = found["gradients"]
        peaks = ", ".join(f"{stride}: {peak:.2f}" for stride, peak in part["stride_peaks"].items())
        lines.append(
            f"gradient norm {part['norm']:.3f} a picture; power at stride frequencies over neighbours {peaks}; "
            f"share of all power at multiples of 1/8 cycle {part['stride_share']:.5f}"
        )
    if "upscaling" in found:
        part = found["upscaling"]
        lines.append(
            f"upscaling ({part['pictures']} pictures): original above every upscale {part['original_best']:.1%}, "
            f"x2 > x3 > x4 as well {part['in_order']:.1%}; by sharpness {part['sharpness_original_best']:.1%}, "
            f"{part['sharpness_in_order']:.1%}"
        )
    if "responses" in found:
        part = found["responses"]
        lines.append(f"fall of each dimension (columns) when a property (rows) is lost; {part['pictures']} pictures")
        lines.append(" " * 14 + "".join(f"{name:>14}" for name in DIMENSIONS) + "   selectivity    tau")
        for name, row in zip(DIMENSIONS, part["matrix"]):
            cells = "".join(f"{value:14.3f}" for value in row)
            lines.append(f"{name:14}{cells}{part['selectivity'][name]:14.1f}{part['tau'][name]:7.3f}")
        for name, item in part["degradations"].items():
            cells = "".join(f"{value:14.3f}" for value in item["fall"].values())
            lines.append(f"{name:16}{cells}  tau {item['tau']:.3f}  overall falls {item['overall_fall']:.3f}")
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
    scorer = scorer.freeze().fold().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = {"parameters": parameters, "gmacs": gmacs(scorer), **made_with(file), **measure(scorer, given)}
    Progress.line(as_text(found))
    if given.pictures is not None:
        draw(scorer, found, given.pictures)
    if given.json is not None:
        partial = given.json.with_suffix(".partial")
        partial.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        os.replace(partial, given.json)
    return 0


def draw(scorer: Scorer, found: dict[str, Any], folder: Path) -> None:
    """Draws the pictures of the model card that the figures allow."""
    folder.mkdir(parents=True, exist_ok=True)
    if "responses" in found:
        Progress.line(f"drew {draw_responses(found['responses'], folder / f'{NAME}-responses.png')}")
    if "gradients" in found:
        Progress.line(f"drew {draw_spectrum(found['gradients'], folder / f'{NAME}-gradients.png')}")
    Progress.line(f"drew {draw_failures(scorer, folder / f'{NAME}-hard.jpg')}")
