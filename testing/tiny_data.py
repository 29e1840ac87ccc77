"""Small synthetic data sets whose quality is plain to see, and small recipes over them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

DIMENSIONS = (
    "brightness",
    "colorfulness",
    "contrast",
    "noisiness",
    "sharpness",
    "color",
    "composition",
    "content",
    "light",
)


def write_rated_images(folder: Path, count: int = 8, side: int = 72, *, seed: int = 0) -> Path:
    """Writes images that become noisier (and darker) as their score falls, and their table; returns the table.

    The dimensions are the score, its complement and powers of both, and every image has a prompt.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    rows = [",".join(["image", "score", "prompt", *DIMENSIONS])]
    for i in range(count):
        score = i / (count - 1)
        pixels = 0.15 + 0.6 * score + (0.3 - 0.28 * score) * random.normal(size=(side, side, 3))
        Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8)).save(folder / f"{i}.png")
        values = [(1 - score if number % 2 else score) ** (1 + number % 3) for number in range(len(DIMENSIONS))]
        rows.append(",".join([f"{i}.png", f"{score:.4f}", "a cat", *(f"{value:.4f}" for value in values)]))
    table = folder / "scores.csv"
    table.write_text("\n".join(rows) + "\n")
    return table


def write_methods(folder: Path, methods: int = 3, images: int = 4, side: int = 72) -> Path:
    """Writes a folder of images for each method, noisier from the last to the first, and their ranking."""
    random = np.random.default_rng(5)
    rows = ["method,score"]
    for number in range(methods):
        place = folder / f"method{number}"
        place.mkdir(parents=True, exist_ok=True)
        rows.append(f"method{number},{number}")
        spread = 0.3 * (1 - number / methods)
        for i in range(images):
            pixels = 0.5 + spread * random.normal(size=(side, side, 3))
            Image.fromarray((pixels.clip(0, 1) * 255).astype(np.uint8)).save(place / f"{i}.png")
    ranking = folder / "ranking.csv"
    ranking.write_text("\n".join(rows) + "\n")
    return ranking


def small_recipe(table: Path, **run: Any) -> dict[str, Any]:
    """A recipe for the smallest scorer: overall score, a loss over the whole batch, validation on the same images."""
    crop = {"crop": 64, "random": True, "flip": 0.5}
    return {
        "title": "a small recipe",
        "scorer": {"name": "mdiqa-mobile", "size": "tiny"},
        "task": "score",
        "data": {
            "train": [{"name": "rated", "data": str(table), "batch_size": 4, "transform": crop}],
            "validation": [{"name": "held", "data": str(table), "limit": 7}],
        },
        "run": {"steps": 6, "validate_every": 3, **run},
        "losses": {"nin": 1.0, "mse": 1.0},
        "optimizer": {"name": "adamw", "lr": 1e-3},
    }
