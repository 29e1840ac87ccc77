"""Pictures of what was probed: the response matrix and the gradient's spectrum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from iqaloss._errors import missing_package
from iqaloss._files import replacing
from iqaloss.evaluation.probes.gradients import GradientFigures
from iqaloss.evaluation.probes.responses import ResponseMatrix, Responses


def new_figure(width: float, height: float) -> Any:
    """Returns an empty figure of a size in inches; raises ``ImportError`` where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_package("matplotlib", "plot", "drawing what was probed") from error
    return Figure(figsize=(width, height), layout="constrained")


def draw_responses(found: Responses, out: Path, scorer: str) -> Path:
    """Draws the response matrix: how far each score falls when a property is lost."""
    figure = new_figure(3.4 + 0.6 * len(found.dimensions), 2.2 + 0.6 * len(found.properties))
    axes = figure.add_subplot()
    image = _draw_matrix(axes, found)
    axes.set_title(f"{scorer}, mean of {found.pictures} photographs, clean to full strength")
    figure.colorbar(image, shrink=0.8)
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=110)
    return out


def _draw_matrix(axes: Any, found: ResponseMatrix) -> Any:
    matrix = np.array(found.matrix)
    most = float(np.abs(matrix).max()) or 1.0
    image = axes.imshow(matrix, cmap="RdBu", vmin=-most, vmax=most)
    axes.set_xticks(range(len(found.dimensions)), found.dimensions, rotation=30, ha="right")
    axes.set_yticks(range(len(found.properties)), found.properties)
    axes.set_xlabel("score that falls")
    axes.set_ylabel("property that is lost")
    for (row, column), value in np.ndenumerate(matrix):
        color = "white" if abs(value) > 0.6 * most else "black"
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color)
    return image


def draw_spectrum(found: GradientFigures, out: Path) -> Path:
    """Draws the mean spectrum of the overall score's input gradient, as a map and by frequency."""
    figure = new_figure(10.0, 4.4)
    left, right = figure.subplots(1, 2)
    spectrum = torch.fft.fftshift(found.spectrum).clamp_min(1e-30).log10().float()
    low, high = torch.quantile(spectrum.flatten()[::7], torch.tensor([0.02, 0.998])).tolist()
    image = left.imshow(spectrum.numpy(), extent=(-0.5, 0.5, 0.5, -0.5), cmap="magma", vmin=low, vmax=high)
    left.set_xlabel("cycles a pixel")
    left.set_title(f"log10 power of d score / d pixel, {found.pictures} photographs")
    figure.colorbar(image, ax=left, shrink=0.85)
    radial = found.radial_power
    right.semilogy([(i + 0.5) / (2 * len(radial)) for i in range(len(radial))], radial)
    right.set_xlabel("cycles a pixel")
    right.set_ylabel("mean power")
    peaks = ", ".join(f"{stride}: {peak:.1f}" for stride, peak in found.stride_peaks.items())
    right.set_title(f"power at stride frequencies over their neighbours\n{peaks}", fontsize=10)
    with replacing(out) as temporary:
        figure.savefig(temporary, dpi=110)
    return out
