"""What the scorer looks at: square windows of an image that was brought to a fitting size; differentiable."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from iqaloss.scorers.layers.crops import Corners, spread

SHRINK_FROM = 768
"""Images with both sides from here on are shrunk until the shorter one is this long."""

STEP, COARSE_STEP, COARSE_FROM = 32, 48, 1024
"""Distance of neighbouring windows, and the one for images with a side of at least ``COARSE_FROM``."""


def fit_size(images: Tensor, side: int) -> Tensor:
    """Enlarges an image that is smaller than a window (bicubic) and shrinks a large one (bilinear, antialiased).

    Args:
        images: ``[B, 3, H, W]``.
        side: Side of a window.

    Returns:
        Images whose sides are all at least ``side``; the same tensor when they fit already.
    """
    height, width = images.shape[2:]
    short = min(height, width)
    if short < side:
        scale = side / short
        images = resize(images, (round(scale * height), round(scale * width)), "bicubic")
    height, width = images.shape[2:]
    short = min(height, width)
    if short > SHRINK_FROM:
        images = resize(images, (SHRINK_FROM * height // short, SHRINK_FROM * width // short), "bilinear")
    return images


def resize(images: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    """Resizes with Pillow's kernels, also where the image grows: torch's own cubic has another sharpness."""
    return F.interpolate(images, size, mode=mode, align_corners=False, antialias=True)


def published_starts(height: int, width: int, side: int, count: int) -> Corners:
    """Returns the windows of the published test: number ``i * (n // count)`` of the n on a regular grid.

    With fewer than ``count`` windows on the grid the step is zero: the test then sees the first window only.

    Example:
        >>> published_starts(300, 420, 224, 4)
        [(0, 0), (0, 160), (32, 96), (64, 32)]
        >>> published_starts(256, 256, 224, 15)
        [(0, 0)]
    """
    step = COARSE_STEP if max(height, width) >= COARSE_FROM else STEP
    grid = [(top, left) for top in range(0, height - side + 1, step) for left in range(0, width - side + 1, step)]
    stride = len(grid) // count
    return [grid[index * stride] for index in range(count)] if stride else grid[:1]


def spread_starts(height: int, width: int, side: int, count: int) -> Corners:
    """Returns at most ``count`` windows spread evenly, from border to border where there are two or more in a row.

    Rows and columns are chosen so that the largest distance between neighbours is smallest; no more windows
    are taken than cover the image.

    Example:
        >>> spread_starts(256, 256, 224, 4)
        [(0, 0), (0, 32), (32, 0), (32, 32)]
        >>> spread_starts(224, 400, 224, 4)
        [(0, 0), (0, 176)]
    """
    rooms = (height - side, width - side)
    most = [math.ceil(room / side) + 1 for room in rooms]
    choices = []
    for wanted in range(1, min(count, most[0]) + 1):
        split = (wanted, min(count // wanted, most[1]))
        # A single window leaves both borders unseen, which counts double.
        gap = max(room / (number - 1) if number > 1 else 2.0 * room for room, number in zip(rooms, split))
        choices.append((gap, split[0] * split[1], split))
    rows, columns = min(choices)[2]
    return [(top, left) for top in spread(rooms[0], rows) for left in spread(rooms[1], columns)]
