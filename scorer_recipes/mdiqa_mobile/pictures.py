"""The picture of hard cases in the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqaloss._files import replacing
from iqaloss.evaluation.probes.degradations import by_name, versions
from iqaloss.evaluation.probes.pictures import center
from iqaloss.evaluation.probes.plots import new_figure
from iqaloss.scorers.base import Scorer
from scorer_recipes.mdiqa_mobile.data import decode
from scorer_recipes.mdiqa_mobile.publish import picture_folder

FAILURES = (
    ("coffee.png", "gamma-dark", "brightness"),
    ("chelsea.png", "over-saturation", "colorfulness"),
    ("astronaut.png", "over-contrast", "contrast"),
    ("motorcycle_left.png", "over-sharpening", "sharpness"),
)
"""What is hard to judge: a picture, a degradation of it, and the dimension that should fall."""


@torch.no_grad()
def draw_failures(scorer: Scorer, out: Path) -> Path:
    """Draws degradations that are hard to judge, on pictures that scikit-image carries."""
    figure = new_figure(11.0, 9.6)
    grid = figure.subplots(len(FAILURES), 4)
    for row, (name, degradation, dimension) in enumerate(FAILURES):
        clean = center(decode(picture_folder() / name) / 255.0, 256, 256)
        shown = versions(by_name(degradation), clean, (0.0, 0.3, 0.6, 1.0))
        result = scorer(torch.stack(shown))
        for column, version in enumerate(shown):
            _show(grid[row][column], version)
            words = degradation if column else "clean"
            value = float(result.dimensions[dimension][column])
            grid[row][column].set_title(
                f"{words}: {dimension} {value:.2f}, score {float(result.score[column]):.2f}", fontsize=8
            )
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=90, pil_kwargs={"quality": 85})
    return out


def _show(axes: Any, image: Tensor) -> None:
    axes.imshow(image.clamp(0, 1).permute(1, 2, 0).numpy())
    axes.set_axis_off()
