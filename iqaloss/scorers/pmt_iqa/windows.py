"""Windows of one size that cover an image."""

from __future__ import annotations

import torch
from torch import Tensor


def cover(length: int, side: int) -> list[int]:
    """Returns the starts of the fewest evenly spread windows that cover a length.

    Example:
        >>> cover(224, 224), cover(512, 224)
        ([0], [0, 144, 288])
    """
    count = -(-length // side)
    return [0] if count == 1 else [index * (length - side) // (count - 1) for index in range(count)]


def cut(images: Tensor, side: int) -> tuple[Tensor, int]:
    """Cuts the windows that cover the images.

    Args:
        images: ``[B, C, H, W]`` with sides of at least ``side``.
        side: Side of a window.

    Returns:
        ``[B * n, C, side, side]``, image by image, and n.
    """
    rows, columns = (cover(length, side) for length in images.shape[2:])
    windows = [images[:, :, top : top + side, left : left + side] for top in rows for left in columns]
    if len(windows) == 1:
        return windows[0], 1
    return torch.stack(windows, dim=1).flatten(0, 1), len(windows)
