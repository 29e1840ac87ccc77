"""Periodic patterns that a network leaves in pictures, and total variation: measures without weights."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 64
"""Side of the windows whose spectra are averaged; smaller pictures take their own side, down to :data:`LEAST`."""

LEAST = 32

LINES = ((0, 2), (2, 0), (2, 2), (0, 4), (4, 0), (4, 4), (4, -4), (2, 4), (4, 2))
"""Periods in pixels along y and x; 0 is none. Stripes, checkerboards, diagonals, and both periods at once."""

NEAR, FAR = 3, 5
"""Neighbours of a line are the bins at this distance; the line itself takes the bins next to it, as Hann's does."""

LUMA = (0.299, 0.587, 0.114)
FLOOR = (1 / 255) ** 2
"""Variance of noise of one level of 8 bits, which is added to every spectrum: what is far below counts as nothing."""


def luminance(images: Tensor) -> Tensor:
    """Returns the luminance ``[B, H, W]`` of RGB images."""
    return (images * images.new_tensor(LUMA).view(1, 3, 1, 1)).sum(dim=1)


def mean_spectrum(planes: Tensor, side: int) -> Tensor:
    """Returns the power spectrum ``[B, side, side]``, mean over half-overlapping Hann windows, zero frequency first.

    Example:
        >>> mean_spectrum(torch.rand(2, 96, 128), 64).shape
        torch.Size([2, 64, 64])
    """
    step = side // 2
    height, width = (extent - (extent - side) % step for extent in planes.shape[1:])  # from the middle
    top, left = (planes.shape[1] - height) // 2, (planes.shape[2] - width) // 2
    cut = planes[:, top : top + height, left : left + width]
    windows = cut.unfold(1, side, step).unfold(2, side, step).flatten(1, 2)
    windows = windows - windows.mean(dim=(-2, -1), keepdim=True)
    taper = torch.hann_window(side, dtype=planes.dtype, device=planes.device)
    taper = taper[:, None] * taper
    power = torch.fft.fft2(windows * taper).abs().square().mean(dim=1)
    return power / taper.square().sum() + FLOOR


def line_power(images: Tensor) -> Tensor:
    """Returns how far the spectrum rises at each of :data:`LINES` over its neighbours, in dB, ``[B, lines]``.

    Args:
        images: RGB in [0, 1], ``[B, 3, H, W]``, with sides of at least 32 pixels.
    """
    if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[-2:]) < LEAST:
        raise ValueError(
            f"patterns are measured on images [B, 3, H, W] with sides of at least {LEAST}, got {list(images.shape)}"
        )
    side = min(WINDOW, min(images.shape[-2:]) // 8 * 8)
    power = mean_spectrum(luminance(images.detach().double()), side)[:, None]
    own = F.avg_pool2d(F.pad(power, (1,) * 4, mode="circular"), 3, stride=1).log10()
    ring = power.new_ones(1, 1, 2 * FAR + 1, 2 * FAR + 1)
    inner = slice(FAR - NEAR + 1, FAR + NEAR)
    ring[..., inner, inner] = 0.0
    around = F.conv2d(F.pad(power.log10(), (FAR,) * 4, mode="circular"), ring / ring.sum())
    rise = 10.0 * (own - around)[:, 0]
    places = [[0 if period == 0 else side // period for period in line] for line in LINES]
    return torch.stack([rise[:, y, x] for y, x in places], dim=1).float()


def pattern_rise(restored: Tensor, original: Tensor) -> Tensor:
    """Returns how much a pattern grew from the original to the restored image ``[B]``, in dB, at the worst line.

    Example:
        >>> original = torch.rand(1, 3, 64, 64)
        >>> pattern_rise(original, original).item()
        0.0
    """
    return (line_power(restored) - line_power(original)).amax(dim=1)


def total_variation(images: Tensor) -> Tensor:
    """Returns the mean absolute difference ``[B]`` between neighbouring pixels, both directions added.

    Example:
        >>> total_variation(torch.ones(1, 3, 8, 8)).item()
        0.0
    """
    across = (images[..., 1:] - images[..., :-1]).abs().mean(dim=(1, 2, 3))
    return across + (images[..., 1:, :] - images[..., :-1, :]).abs().mean(dim=(1, 2, 3))
