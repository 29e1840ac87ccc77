"""What LAR-IQA does to an image before its networks see it, as differentiable functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from iqaloss._straight_through import straight_through
from iqaloss.color import opencv_hsv, opencv_lab, opencv_yuv
from iqaloss.scorers.lar_iqa.pillow import resize_levels

_CONVERSIONS: dict[str, Callable[[Tensor], Tensor]] = {"HSV": opencv_hsv, "LAB": opencv_lab, "YUV": opencv_yuv}


def to_eight_bits(images: Tensor) -> Tensor:
    """Clips to [0, 1] and rounds to n/255; the gradient passes straight through.

    Example:
        >>> to_eight_bits(torch.tensor([0.5, 1.5])) * 255
        tensor([128., 255.])
    """
    return straight_through((images.detach().clamp(0, 1) * 255).round() / 255, images)


def to_spaces(images: Tensor, spaces: Sequence[str]) -> Tensor:
    """Converts RGB images to colour spaces, one after the other along the batch.

    All but RGB follow OpenCV's 8-bit conventions, which LAR-IQA was trained with (see :mod:`iqaloss.color`).

    Args:
        images: RGB in [0, 1], ``[B, 3, H, W]``.
        spaces: Names out of RGB, HSV, LAB and YUV.

    Returns:
        ``[S * B, 3, H, W]``, space by space.
    """
    return torch.cat([_CONVERSIONS[space](images) if space in _CONVERSIONS else images for space in spaces])


def squeeze_to_square(images: Tensor, side: int | None, *, eight_bits: bool = False) -> Tensor:
    """Resizes to ``side`` x ``side``, bilinear with antialias; the aspect is not kept, as published.

    Args:
        images: ``[B, C, H, W]``.
        side: The side of the result; None returns the images as they are.
        eight_bits: Gives Pillow's result for the image as 8 bits, which rounds after each of two passes; the gradient
            is that of the resize without rounding.
    """
    if side is None or tuple(images.shape[2:]) == (side, side):
        return images
    resized = F.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=True)
    if not eight_bits:
        return resized
    levels = (to_eight_bits(images.detach()) * 255).round().to(torch.int32)
    return straight_through(resize_levels(levels, (side, side)).to(images.dtype) / 255, resized)


def center_crop(images: Tensor, side: int | None, *, pad: bool) -> Tensor:
    """Cuts the central ``side`` x ``side`` pixels.

    Args:
        images: ``[B, C, H, W]``.
        side: Side of the crop; None returns the images as they are.
        pad: Whether zeros are added where the image is smaller; otherwise that side keeps its own length.
    """
    if side is None:
        return images
    for axis in (2, 3):
        length = images.shape[axis]
        if length > side:
            images = images.narrow(axis, round((length - side) / 2), side)
        elif pad:
            before = (side - length) // 2
            border = (before, side - length - before)
            images = F.pad(images, border if axis == 3 else (0, 0, *border))
    return images


def without_border(features: Tensor, size: Sequence[int], side: int | None, *, pad: bool) -> Tensor:
    """Cuts from a feature map of :func:`center_crop` what its zero border alone gave.

    Args:
        features: ``[B, C, h, w]``.
        size: Height and width of the image before the crop.
        side: Side of the crop.
        pad: As for the crop.
    """
    if side is None or not pad:
        return features
    for axis, length in zip((2, 3), size):
        cells = features.shape[axis]
        if length < side:
            before = (side - length) // 2
            start, stop = before * cells // side, -(-(before + length) * cells // side)
            features = features.narrow(axis, start, stop - start)
    return features
