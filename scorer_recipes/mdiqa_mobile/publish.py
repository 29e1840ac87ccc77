"""The publish command: the file in the package, its digest, its figures and stored scores beside it."""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from iqaloss._errors import missing_package
from iqaloss._files import replacing, write_text
from iqaloss.evaluation.probes.pictures import center
from iqaloss.evaluation.probes.responses import Response, response_matrix
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.factory import create_scorer
from iqaloss.scorers.state_dicts import sha256_of
from scorer_recipes.mdiqa_mobile.card import model_card
from scorer_recipes.mdiqa_mobile.data import decode

PICTURES = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
)
"""Pictures that the scikit-image package carries; PNG, so that every decoder agrees."""


def picture_folder() -> Path:
    """Returns the folder of scikit-image's pictures, without importing scikit-image."""
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        raise missing_package("scikit-image", "dev", "scoring scikit-image's pictures")
    return Path(found.origin).parent / "data"


@torch.no_grad()
def picture_scores(scorer: Scorer) -> dict[str, dict[str, float]]:
    """Returns the overall score and the dimensions of the centre 256x256 of each picture."""
    table = {}
    for name in PICTURES:
        out = scorer(center(decode(picture_folder() / name) / 255.0, 256, 256)[None])
        table[name] = {"score": float(out.score), **{key: float(value) for key, value in out.dimensions.items()}}
    return table


def spread(figures: dict[str, Any]) -> dict[str, float]:
    """Returns the figures by which seeds are compared."""
    validation, found = figures["validation"], figures["responses"]["degradations"]
    responses = response_matrix({name: Response(**each) for name, each in found.items()})
    return {
        "seed": figures["seed"],
        "srcc": validation["srcc"],
        "plcc": validation["plcc"],
        "pictures": figures["responses"]["pictures"],
        "selectivity": min(responses.selectivity.values()),
        "tau": min(responses.tau.values()),
        "in_order": figures["upscaling"]["in_order"],
    }


def spreads(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the rows of seeds that a file of figures, or the data of an earlier card, has."""
    return [*found["seeds"]] if "seeds" in found else [spread(found)]


def publish(arguments: Sequence[str]) -> int:
    """Copies a trained file to a folder and writes the data of its model card beside it."""
    parser = argparse.ArgumentParser(
        prog="python -m scorer_recipes.mdiqa_mobile publish",
        description="Put a trained file where the package takes it from, with digest, figures, stored scores and card.",
    )
    parser.add_argument("file", type=Path, help="safetensors file written by the training")
    parser.add_argument(
        "--figures", type=Path, required=True, nargs="+", help="JSON files of evaluate: one, or several that cover it"
    )
    parser.add_argument("--to", type=Path, required=True, help="folder, such as iqaloss/scorers/weights")
    parser.add_argument("--limits", type=Path, help="Markdown list of what the scorer does badly, for the card's end")
    parser.add_argument("--loss", type=Path, help="Markdown on what it does as a loss")
    parser.add_argument(
        "--seeds",
        type=Path,
        nargs="*",
        default=[],
        help="JSON files of evaluate, one for each seed, or an earlier card's",
    )
    given = parser.parse_args(arguments)
    figures: dict[str, Any] = {}
    for path in given.figures:
        found = json.loads(path.read_text(encoding="utf-8"))
        others = {key for key in ("parameters", "gmacs", "seed") if figures.get(key, found[key]) != found[key]}
        if others:
            raise ValueError(f"{path} is of another file than {given.figures[0]}: {', '.join(sorted(others))} differ")
        figures |= found
    target = given.to / "mdiqa-mobile.safetensors"
    with replacing(target) as temporary:
        shutil.copyfile(given.file, temporary)
    card = {
        "sha256": sha256_of(target),
        "bytes": target.stat().st_size,
        "pictures": picture_scores(create_scorer("mdiqa-mobile", weights=target)),
        "figures": figures,
        "seeds": [row for path in given.seeds for row in spreads(json.loads(path.read_text(encoding="utf-8")))],
    }
    write_text(target.with_suffix(".json"), json.dumps(card, indent=1) + "\n")
    limits, loss = (path.read_text(encoding="utf-8") if path else "" for path in (given.limits, given.loss))
    write_text(target.with_suffix(".md"), model_card(card, limits, loss))
    sys.stdout.write(f"{target}: {card['bytes']:,} bytes, sha256 {card['sha256']}\n")
    return 0
