"""The pictures of the model card: response matrix, gradient spectrum, hard cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from iqaloss._errors import missing_package
from iqaloss.scorers.base import Scorer
from scorer_recipes.mdiqa_mobile.data import decode
from scorer_recipes.mdiqa_mobile.degrade import DIMENSIONS, by_name
from scorer_recipes.mdiqa_mobile.publish import picture_folder

FAILURES = (
    ("coffee.png", "gamma-dark", "brightness"),
    ("chelsea.png", "over-saturation", "colorfulness"),
    ("astronaut.png", "over-contrast", "contrast"),
    ("motorcycle_left.png", "over-sharpening", "sharpness"),
)
"""What is hard to judge: a picture, a degradation of it, and the dimension that should fall."""


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_package("matplotlib", "plot", "drawing the model card's pictures") from error
    return Figure(figsize=(width, height), layout="constrained")


def draw_responses(found: dict[str, Any], out: Path) -> Path:
    """Draws the 5 x 5 response matrix: how far each dimension falls when a property is lost."""
    matrix = torch.tensor(found["matrix"])
    figure = _figure(6.4, 5.2)
    axes = figure.add_subplot()
    most = float(matrix.abs().max())
    image = axes.imshow(matrix.numpy(), cmap="RdBu", vmin=-most, vmax=most)
    axes.set_xticks(range(5), DIMENSIONS, rotation=30, ha="right")
    axes.set_yticks(range(5), DIMENSIONS)
    axes.set_xlabel("dimension that falls")
    axes.set_ylabel("property that is lost")
    for row in range(5):
        for column in range(5):
            value = float(matrix[row, column])
            color = "white" if abs(value) > 0.6 * most else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color)
    axes.set_title(f"mdiqa-mobile, mean of {found['pictures']} photographs, clean to full strength")
    figure.colorbar(image, shrink=0.8)
    figure.savefig(out, dpi=110)
    return out


def draw_spectrum(found: dict[str, Any], out: Path) -> Path:
    """Draws the mean spectrum of the overall score's input gradient, as a map and by frequency."""
    figure = _figure(10.0, 4.4)
    left, right = figure.subplots(1, 2)
    spectrum = torch.tensor(found["spectrum"])
    low, high = torch.quantile(spectrum.flatten()[::7], torch.tensor([0.02, 0.998])).tolist()
    image = left.imshow(spectrum.numpy(), extent=(-0.5, 0.5, 0.5, -0.5), cmap="magma", vmin=low, vmax=high)
    left.set_xlabel("cycles a pixel")
    left.set_title(f"log10 power of d score / d pixel, {found['pictures']} photographs")
    figure.colorbar(image, ax=left, shrink=0.85)
    radial = found["radial_power"]
    right.semilogy([(i + 0.5) / (2 * len(radial)) for i in range(len(radial))], radial)
    right.set_xlabel("cycles a pixel")
    right.set_ylabel("mean power")
    peaks = ", ".join(f"{stride}: {peak:.1f}" for stride, peak in found["stride_peaks"].items())
    right.set_title(f"power at stride frequencies over their neighbours\n{peaks}", fontsize=10)
    figure.savefig(out, dpi=110)
    return out


@torch.no_grad()
def draw_failures(scorer: Scorer, out: Path) -> Path:
    """Draws degradations that are hard to judge, on pictures that scikit-image carries."""
    figure = _figure(11.0, 9.6)
    grid = figure.subplots(len(FAILURES), 4)
    for row, (name, degradation, dimension) in enumerate(FAILURES):
        image = decode(picture_folder() / name) / 255.0
        top, left = (image.shape[1] - 256) // 2, (image.shape[2] - 256) // 2
        clean = image[:, top : top + 256, left : left + 256]
        generator = torch.Generator().manual_seed(0)
        apply = by_name(degradation).apply
        versions = [clean, *(apply(clean, strength, generator) for strength in (0.3, 0.6, 1.0))]
        result = scorer(torch.stack(versions))
        for column, version in enumerate(versions):
            _show(grid[row][column], version)
            words = degradation if column else "clean"
            value = float(result.dimensions[dimension][column])
            grid[row][column].set_title(
                f"{words}: {dimension} {value:.2f}, score {float(result.score[column]):.2f}", fontsize=8
            )
    figure.savefig(out, dpi=90, pil_kwargs={"quality": 85})
    return out


def _show(axes: Any, image: Tensor) -> None:
    axes.imshow(image.clamp(0, 1).permute(1, 2, 0).numpy())
    axes.set_axis_off()
