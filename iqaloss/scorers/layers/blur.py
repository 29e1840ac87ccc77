"""A Gaussian along both axes, the same for images and for gradients."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from iqaloss.scorers.layers.precision import full_precision

_REACH = 3.0
"""How many standard deviations of a Gaussian are kept on each side."""


def reach(sigma: float) -> int:
    """Returns how many pixels a Gaussian extends on each side.

    Example:
        >>> reach(0.8), reach(2.0)
        (3, 6)
    """
    return math.ceil(_REACH * sigma)


def gaussian_blur(images: Tensor, sigma: float, name: str = "images") -> Tensor:
    """Smooths images with a Gaussian; beyond the border they are mirrored, the border's pixels not repeated.

    Args:
        images: ``[B, C, H, W]``.
        sigma: The Gaussian's standard deviation in pixels.
        name: What the images are called in an error.

    Raises:
        ValueError: If the Gaussian is wider than the images.

    Example:
        >>> gaussian_blur(torch.full((1, 3, 8, 8), 0.5), 0.8).unique()
        tensor([0.5000])
    """
    side, batch = reach(sigma), images.shape[0]
    if side >= min(images.shape[2:]):
        size = f"{images.shape[2]}x{images.shape[3]}"
        raise ValueError(f"a Gaussian of {sigma:g} pixels extends {side} pixels, too far for {name} of {size}")
    offsets = torch.arange(-side, side + 1, device=images.device)
    kernel = torch.softmax(-0.5 * (offsets / sigma).square(), 0).to(images.dtype)
    with full_precision(images.device):
        planes = rearrange(images, "b c h w -> (b c) 1 h w")
        planes = F.conv2d(mirrored(planes, side, 2), kernel.view(1, 1, -1, 1))
        planes = F.conv2d(mirrored(planes, side, 3), kernel.view(1, 1, 1, -1))
        return rearrange(planes, "(b c) 1 h w -> b c h w", b=batch)


def mirrored(images: Tensor, side: int, axis: int) -> Tensor:
    """Continues images by their mirror image on both sides of an axis; unlike torch's padding the same on every run.

    Example:
        >>> mirrored(torch.tensor([[1, 2, 3]]), 2, 1)
        tensor([[3, 2, 1, 2, 3, 2, 1]])
    """
    length = images.shape[axis]
    before = images.narrow(axis, 1, side).flip(axis)
    after = images.narrow(axis, length - 1 - side, side).flip(axis)
    return torch.cat([before, images, after], axis)
