"""How good the embedded scorer's gradients are: their size, their spectrum, and its scores on crops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from iqaloss.scorers.base import Request, Scorer
from scorer_recipes.mdiqa_mobile.data import Rows, decode
from scorer_recipes.mdiqa_mobile.evaluate import plcc, srcc
from scorer_recipes.mdiqa_mobile.progress import Report

STRIDES = (2, 4, 8, 16, 32)
CROPS = (64, 128, 192, 256, 384, 512)


def input_gradient(scorer: Scorer, picture: Tensor, dimension: str | None = None) -> Tensor:
    """Returns the gradient ``[3, H, W]`` of the overall score, or of a dimension, by the picture's pixels."""
    pixels = picture[None].clone().requires_grad_()
    wanted = () if dimension is None else (dimension,)
    out = scorer(pixels, Request(dimension is None, wanted, (), ()))
    score = out.score if dimension is None else out.dimensions[dimension]
    return torch.autograd.grad(score.sum(), pixels)[0][0]


def power_spectrum(gradient: Tensor) -> Tensor:
    """Returns the power spectrum ``[H, W]`` of a gradient ``[3, H, W]``, summed over colours, zero frequency first."""
    return torch.fft.fft2(gradient.double()).abs().square().sum(dim=0)


def stride_peaks(power: Tensor) -> dict[int, float]:
    """Returns how far the spectrum rises at the frequencies that a network's strides leave in its gradients.

    A layer of total stride p repeats its pattern every p pixels: power gathers at the multiples of 1/p cycles a
    pixel. For each p: the mean power there (those of p/2 left out) over the median power of the eight neighbours
    three bins away. 1 means no artefact.

    Args:
        power: A square spectrum whose side is a multiple of 32, zero frequency first.
    """
    side = power.shape[0]
    if power.shape[1] != side or side % max(STRIDES):
        raise ValueError(f"the spectrum must be a square with a side that 32 divides, got {list(power.shape)}")
    found = {}
    for stride in STRIDES:
        step = side // stride
        ratios = []
        for row in range(0, side, step):
            for column in range(0, side, step):
                if (row // step) % 2 == 0 and (column // step) % 2 == 0:
                    continue  # a frequency of half the stride, or zero
                around = [
                    power[(row + i) % side, (column + j) % side]
                    for i in (-3, 0, 3)
                    for j in (-3, 0, 3)
                    if (i, j) != (0, 0)
                ]
                ratios.append(float(power[row, column] / torch.stack(around).median()))
        found[stride] = float(np.mean(ratios))
    return found


def stride_share(power: Tensor, stride: int = 8) -> float:
    """Returns the share of a spectrum's power at the multiples of ``1 / stride`` cycles a pixel, zero left out.

    A spectrum without artefacts has about ``(stride**2 - 1) / power.numel()`` there.
    """
    step = power.shape[0] // stride
    return float((power[::step, ::step].sum() - power[0, 0]) / power.sum())


def gradient_figures(scorer: Scorer, pictures: Sequence[Tensor], progress: Report) -> dict[str, Any]:
    """Returns the norm of the overall score's gradient, its stride peaks and its spectrum, means over pictures."""
    norms, total = [], torch.zeros(pictures[0].shape[1:], dtype=torch.float64)
    for index, picture in enumerate(pictures):
        gradient = input_gradient(scorer, picture)
        norms.append(float(gradient.norm()))
        power = power_spectrum(gradient)
        total += power / power.sum()
        progress("gradients", index, len(pictures))
    mean = total / len(pictures)
    radial = radial_profile(mean)
    return {
        "pictures": len(pictures),
        "norm": float(np.mean(norms)),
        "stride_share": stride_share(mean),
        "stride_peaks": {str(stride): peak for stride, peak in stride_peaks(mean).items()},
        "radial_power": radial.tolist(),
        "spectrum": torch.fft.fftshift(mean).log10().tolist(),
    }


def radial_profile(power: Tensor, bins: int = 32) -> Tensor:
    """Returns the mean power in rings of equal width, from zero frequency to half a cycle a pixel."""
    rows, columns = (torch.fft.fftfreq(side) for side in power.shape)
    radius = (rows[:, None] ** 2 + columns[None] ** 2).sqrt()
    ring = (radius * 2 * bins).long()
    kept = ring < bins
    totals = torch.zeros(bins, dtype=power.dtype).index_add_(0, ring[kept], power[kept])
    return totals / torch.bincount(ring[kept], minlength=bins)


@torch.no_grad()
def crop_agreement(scorer: Scorer, rows: Rows, progress: Report) -> dict[str, dict[str, float]]:
    """Scores centre crops of several sides of 512x512 photographs; returns agreement with people and with the whole.

    Args:
        scorer: The scorer.
        rows: Photographs with human scores.
        progress: Is told how far it is.
    """
    request = Request(score=True)
    scores: dict[int, list[float]] = {side: [] for side in CROPS}
    for start in range(0, len(rows), 8):
        whole = torch.stack([decode(path, 512) / 255.0 for path in rows.paths[start : start + 8]])
        for side in CROPS:
            edge = (512 - side) // 2
            crop = whole[:, :, edge : edge + side, edge : edge + side]
            scores[side] += scorer(crop.contiguous(memory_format=torch.channels_last), request).score.tolist()
        progress("crops", min(start + 8, len(rows)) - 1, len(rows))
    people, complete = np.array(rows.scores), np.array(scores[512])
    return {
        str(side): {
            "srcc": srcc(np.array(found), people),
            "plcc": plcc(np.array(found), people),
            "mean": float(np.mean(found)),
            "srcc_with_whole": srcc(np.array(found), complete),
        }
        for side, found in scores.items()
    }
