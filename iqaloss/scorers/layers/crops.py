"""Square crops of images of any size: spread evenly, at seeded places, or at random."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

PLACEMENTS = ("grid", "seeded", "random")

Corners = list[tuple[int, int]]
"""Where crops begin: rows and columns of their top left pixels."""


def spread(room: int, count: int) -> list[int]:
    """Returns at most ``count`` whole numbers, evenly spread from 0 to ``room``; a single one sits in the middle.

    Example:
        >>> spread(10, 1), spread(10, 3), spread(1, 3)
        ([5], [0, 5, 10], [0, 1])
    """
    if count == 1:
        return [room // 2]
    return sorted({round(room * index / (count - 1)) for index in range(count)})


def cut(images: Tensor, corners: Corners, side: int) -> Tensor:
    """Returns the crops ``[B, K, C, side, side]`` that begin at K corners of images ``[B, C, H, W]``.

    Example:
        >>> cut(torch.arange(9.0).view(1, 1, 3, 3), [(0, 0), (1, 1)], 1).flatten()
        tensor([0., 4.])
    """
    crops = [images[:, :, top : top + side, left : left + side] for top, left in corners]
    return crops[0][:, None] if len(crops) == 1 else torch.stack(crops, dim=1)


def pad_to_side(images: Tensor, side: int) -> Tensor:
    """Pads images with zeros, equally on both ends, until neither side is shorter than ``side``.

    Example:
        >>> pad_to_side(torch.ones(1, 3, 5, 9), 8).shape
        torch.Size([1, 3, 8, 9])
    """
    lack_h, lack_w = (max(0, side - length) for length in images.shape[2:])
    if not lack_h and not lack_w:
        return images
    return F.pad(images, (lack_w // 2, lack_w - lack_w // 2, lack_h // 2, lack_h - lack_h // 2))


def grid_places(height: int, width: int, side: int, count: int) -> Corners:
    """Returns the (top, left) corners of at most ``count`` crops, evenly spread over the image.

    Rows and columns follow the image's aspect; one crop in a direction sits in its middle, and where the
    image is no longer than a crop there is one only.

    Example:
        >>> grid_places(10, 10, 6, 4)
        [(0, 0), (0, 4), (4, 0), (4, 4)]
        >>> grid_places(6, 10, 6, 4)
        [(0, 0), (0, 1), (0, 3), (0, 4)]
    """
    if height == side:
        rows = 1
    elif width == side:
        rows = count
    else:
        rows = min(count, max(1, round((count * height / width) ** 0.5)))
    columns = spread(width - side, max(1, count // rows))
    return [(top, left) for top in spread(height - side, rows) for left in columns]


def seeded_places(height: int, width: int, side: int, count: int, seed: int) -> Corners:
    """Returns the corners of ``count`` crops at places that depend on the seed and the image's size only.

    Example:
        >>> seeded_places(20, 20, 6, 2, seed=0) == seeded_places(20, 20, 6, 2, seed=0)
        True
    """
    generator = torch.Generator().manual_seed(seed)
    fractions = torch.rand(count, 2, generator=generator).tolist()
    return [(int(y * (height - side + 1)), int(x * (width - side + 1))) for y, x in fractions]


# What torch.compiler.assume_constant_result does; calling it would import the compiler, for seconds, in any program.
seeded_places._dynamo_marked_constant = True  # type: ignore[attr-defined]


def take_crops(images: Tensor, side: int, count: int, placement: str = "grid", seed: int = 0) -> Tensor:
    """Cuts square crops out of each image, after padding small ones with zeros.

    Args:
        images: ``[B, C, H, W]``.
        side: Side of a crop.
        count: Crops of each image; the grid may need fewer, and an image of the crop's size needs one.
        placement: ``"grid"`` and ``"seeded"`` cut all images at the same places, so that a score repeats and
            does not depend on the batch; ``"random"`` draws places for each image from the global generator.
        seed: The seed of ``"seeded"``.

    Returns:
        ``[B, K, C, side, side]``.
    """
    images = pad_to_side(images, side)
    batch, _, height, width = images.shape
    if height == width == side:
        return images[:, None]
    if placement == "random":
        tops = torch.randint(height - side + 1, (batch, count)).tolist()
        lefts = torch.randint(width - side + 1, (batch, count)).tolist()
        return torch.stack(
            [
                torch.stack([image[:, y : y + side, x : x + side] for y, x in zip(*places)])
                for image, *places in zip(images, tops, lefts)
            ]
        )
    if placement == "seeded":
        places = seeded_places(height, width, side, count, seed)
    else:
        places = grid_places(height, width, side, count)
    return cut(images, places, side)
