"""What a scorer's gradient by the pixels looks like: its size, its spectrum, and the pattern that strides leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from iqaloss.evaluation.probes.pictures import Report, center, silent
from iqaloss.scorers.base import Request, Scorer

STRIDES = (2, 4, 8, 16, 32)
WHOLE = max(STRIDES)
"""Spectra have sides that are a multiple of this, so that every stride's frequencies fall on a bin."""


@dataclass(frozen=True)
class GradientFigures:
    """The gradient of the overall score, means over photographs.

    Attributes:
        pictures: How many photographs there were.
        norm: Norm of the gradient of a whole photograph.
        stride_share: Share of the power at the multiples of 1/8 cycle a pixel (:func:`stride_share`).
        stride_peaks: Stride to how far the power there rises over its neighbours (:func:`stride_peaks`).
        radial_power: Mean power in rings from zero frequency to half a cycle a pixel.
        spectrum: Share of the power at each frequency ``[H, W]``, zero frequency first.
    """

    pictures: int
    norm: float
    stride_share: float
    stride_peaks: dict[str, float]
    radial_power: list[float]
    spectrum: Tensor


def input_gradient(scorer: Scorer, picture: Tensor, dimension: str | None = None) -> Tensor:
    """Returns the gradient ``[3, H, W]`` of the overall score, or of a dimension, by the picture's pixels.

    Example:
        >>> from iqaloss.scorers.factory import create_tiny
        >>> input_gradient(create_tiny("mdiqa-mobile"), torch.rand(3, 64, 80), "sharpness").shape
        torch.Size([3, 64, 80])
    """
    pixels = picture[None].to(scorer.mean.device).clone().requires_grad_()
    if dimension is None:
        score = scorer(pixels, Request(score=True)).score
    else:
        score = scorer(pixels, Request(dimensions=(dimension,))).dimensions[dimension]
    return torch.autograd.grad(score.sum(), pixels)[0][0].float().cpu()


def power_spectrum(gradient: Tensor) -> Tensor:
    """Returns the power spectrum ``[H, W]`` of a gradient ``[3, H, W]``, summed over colours, zero frequency first.

    Example:
        >>> bool(power_spectrum(torch.ones(3, 8, 8))[0, 0] == 3 * 64**2)
        True
    """
    return torch.fft.fft2(gradient.double()).abs().square().sum(dim=0)


def stride_peaks(power: Tensor) -> dict[int, float]:
    """Returns how far the spectrum rises at the frequencies that a network's strides leave in its gradients.

    A layer of total stride p repeats its pattern every p pixels: power gathers at the multiples of 1/p cycles a
    pixel. For each p: the mean power there (those of p/2 left out) over the median power of the eight neighbours
    three bins away. 1 means no artefact; noise that is drawn once, not averaged, has a little more.

    Args:
        power: A spectrum ``[H, W]`` with sides that 32 divides, zero frequency first.

    Raises:
        ValueError: If 32 does not divide its sides.

    Example:
        >>> stride_peaks(torch.ones(64, 96))[8]
        1.0
    """
    if any(side % WHOLE or not side for side in power.shape) or power.ndim != 2:
        raise ValueError(f"the spectrum must have two sides that {WHOLE} divides, got {list(power.shape)}")
    shifts = [(i, j) for i in (-3, 0, 3) for j in (-3, 0, 3) if (i, j) != (0, 0)]
    around = torch.stack([power.roll(shift, dims=(0, 1)) for shift in shifts]).median(dim=0).values
    ratio = power / around.clamp_min(torch.finfo(power.dtype).tiny)
    found = {}
    for stride in STRIDES:
        height, width = (side // stride for side in power.shape)
        own = torch.ones(stride, stride, dtype=torch.bool)
        own[::2, ::2] = False  # the frequencies of half the stride, and zero
        found[stride] = float(ratio[::height, ::width][own].double().mean())
    return found


def stride_share(power: Tensor, stride: int = 8) -> float:
    """Returns the share of a spectrum's power at the multiples of ``1 / stride`` cycles a pixel, zero left out.

    A spectrum without artefacts has about ``(stride**2 - 1) / power.numel()`` there.

    Example:
        >>> stride_share(torch.ones(64, 64)) == 63 / 64**2
        True
    """
    height, width = (side // stride for side in power.shape)
    return float((power[::height, ::width].sum() - power[0, 0]) / power.sum())


def radial_profile(power: Tensor, bins: int = 32) -> Tensor:
    """Returns the mean power in rings of equal width, from zero frequency to half a cycle a pixel.

    Example:
        >>> radial_profile(torch.ones(64, 64), bins=4)
        tensor([1., 1., 1., 1.])
    """
    rows, columns = (torch.fft.fftfreq(side) for side in power.shape)
    radius = (rows[:, None] ** 2 + columns[None] ** 2).sqrt()
    ring = (radius * 2 * bins).long()
    kept = ring < bins
    totals = torch.zeros(bins, dtype=power.dtype).index_add_(0, ring[kept], power[kept])
    return totals / torch.bincount(ring[kept], minlength=bins)


def gradient_figures(scorer: Scorer, pictures: Sequence[Tensor], report: Report = silent) -> GradientFigures:
    """Measures the overall score's gradient on photographs of any sizes.

    Spectra are those of the gradients' middles, cut to the largest size that all have and that 32 divides.

    Args:
        scorer: Any scorer, in eval mode.
        pictures: Clean photographs, ``[3, H, W]`` each.
        report: Is told how far it is.

    Raises:
        ValueError: If a photograph has a side below 32 pixels.
    """
    height, width = (min(picture.shape[axis] for picture in pictures) // WHOLE * WHOLE for axis in (1, 2))
    if not height or not width:
        raise ValueError(f"the spectrum of a gradient needs photographs with sides of at least {WHOLE} pixels")
    norms, total = [], torch.zeros(height, width, dtype=torch.float64)
    for index, picture in enumerate(pictures):
        gradient = input_gradient(scorer, picture)
        norms.append(float(gradient.norm()))
        power = power_spectrum(center(gradient, height, width))
        total += power / power.sum().clamp_min(torch.finfo(power.dtype).tiny)
        report("gradients", index + 1, len(pictures))
    mean = total / len(pictures)
    return GradientFigures(
        pictures=len(pictures),
        norm=float(np.mean(norms)),
        stride_share=stride_share(mean),
        stride_peaks={str(stride): peak for stride, peak in stride_peaks(mean).items()},
        radial_power=radial_profile(mean).tolist(),
        spectrum=mean,
    )
