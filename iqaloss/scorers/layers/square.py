"""The centre square of an image, as CLIP and its relatives see it."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def center_square(images: Tensor, side: int) -> Tensor:
    """Resizes the shorter side to ``side`` (bicubic, antialiased) and crops the centre square.

    Args:
        images: ``[B, C, H, W]``.
        side: Side of the square in pixels.

    Returns:
        ``[B, C, side, side]``.
    """
    height, width = images.shape[2:]
    short = min(height, width)
    size = (side * height // short, side * width // short)
    if size != (height, width):
        images = F.interpolate(images, size, mode="bicubic", align_corners=False, antialias=True)
    top, left = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return images[:, :, top : top + side, left : left + side]
