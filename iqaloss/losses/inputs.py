"""Less of a large image: shrunk, or cut at random; the same for prediction and target, and differentiable."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def shrink(images: Tensor, max_side: int, min_side: int = 1, name: str = "images") -> Tensor:
    """Resizes images until the longer side is ``max_side`` (bilinear, antialiased); smaller ones stay as they are.

    The kernel is as wide as the scale, so that every pixel gets a gradient, and positive, so that the range is kept.

    Args:
        images: ``[B, C, H, W]``.
        max_side: The longer side of the result, in pixels.
        min_side: What the shorter side may not fall below.
        name: What the images are called in an error.

    Raises:
        ValueError: If the shorter side would fall below ``min_side``.

    Example:
        >>> shrink(torch.rand(1, 3, 64, 128), 32).shape
        torch.Size([1, 3, 16, 32])
    """
    size = shrunk_size(images.shape[2], images.shape[3], max_side)
    if size == tuple(images.shape[2:]):
        return images
    if min(size) < min_side:
        given = f"{images.shape[2]}x{images.shape[3]}"
        raise ValueError(
            f"max_side={max_side} makes {name} of {given} {size[0]}x{size[1]}, which is shorter than {min_side} pixels"
        )
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


def shrunk_size(height: int, width: int, max_side: int) -> tuple[int, int]:
    """Returns the size after :func:`shrink`.

    Example:
        >>> shrunk_size(100, 1000, 256), shrunk_size(100, 200, 256)
        ((26, 256), (100, 200))
    """
    longer = max(height, width)
    if longer <= max_side:
        return height, width
    return max(1, round(height * max_side / longer)), max(1, round(width * max_side / longer))


def crop_places(images: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Draws a crop's place for each image, from torch's generator of the images' device.

    The places stay on the device as indices, so that nothing waits for them.

    Args:
        images: ``[B, C, H, W]``.
        side: Side of the crop; an image that is shorter keeps that side.

    Returns:
        Row indices ``[B, h]`` and column indices ``[B, w]``.
    """
    places = []
    for length in images.shape[2:]:
        kept = min(side, length)
        start = torch.randint(length - kept + 1, (images.shape[0], 1), device=images.device)
        places.append(start + torch.arange(kept, device=images.device))
    return places[0], places[1]


def take(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Cuts each image at its own place.

    Args:
        images: ``[B, C, H, W]``.
        rows: ``[B, h]``, see :func:`crop_places`.
        columns: ``[B, w]``.

    Returns:
        ``[B, C, h, w]``.

    Example:
        >>> image = torch.arange(9.0).view(1, 1, 3, 3)
        >>> take(image, torch.tensor([[1, 2]]), torch.tensor([[0, 1]]))[0, 0]
        tensor([[3., 4.],
                [6., 7.]])
    """
    batch = torch.arange(images.shape[0], device=images.device)[:, None, None]
    # Indices apart from each other put their axes in front: [B, h, w, C].
    return images[batch, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1).contiguous()
