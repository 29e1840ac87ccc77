"""What the tests of the recipe share: a folder of photographs, a tiny recipe, and runs of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scorer_recipes.mdiqa_mobile import data
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.run import Run
from scorer_recipes.mdiqa_mobile.upscaler import Upscaler

TINY_RECIPE = Recipe(
    backbone_steps=4,
    backbone_batch=8,
    steps=4,
    head_steps=1,
    batch=4,
    groups=2,
    sizes=(48, 64),
    crop_sizes=(48, 64),
    warmup=1,
    frozen_blocks=1,
    warm_epochs=0,
    local_strength=2.0,
    bf16=False,
)


def save_photographs(folder: Path) -> Path:
    """Fills a folder with twelve synthetic 96x96 pictures with scores."""
    from PIL import Image

    generator = np.random.default_rng(0)
    lines = ["image,mos"]
    for index in range(12):
        low = generator.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(low).resize((96, 96), Image.Resampling.BICUBIC)
        picture.save(folder / f"ss03 ({index}).png")
        lines.append(f"ss03 ({index}).png,{0.3 + 0.05 * index:.2f}")
    (folder / "scores.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def make_run(photographs: Path, out: Path, recipe: Recipe = TINY_RECIPE) -> Run:
    """Makes a run on all of the photographs; its small super-resolution network is there already, untrained."""
    out.mkdir(exist_ok=True)
    if not (out / "upscaler.pt").is_file():
        torch.save(Upscaler().state_dict(), out / "upscaler.pt")
    rated = data.read_rated(photographs)
    images = data.DecodedImages(rated, out / "cache.npy", side=96)
    return Run(images, rated, list(range(12)), recipe, out, lambda *_: None)
