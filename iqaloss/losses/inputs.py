"""What a scorer gets to see: images in its range, clamped, shrunk or cut; the same for prediction and target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from iqaloss._errors import check_choice
from iqaloss._straight_through import straight_through
from iqaloss.losses.checks import check_count, check_range

CLAMPS = ("ste", "clip")
Places = tuple[Tensor, Tensor]
"""Row indices ``[B, h]`` and column indices ``[B, w]`` of a crop of each image."""


@dataclass(frozen=True)
class Inputs:
    """How a loss prepares images for its scorer.

    Attributes:
        input_range: The range of the images that a caller gives.
        clamp: What happens to values outside: ``"ste"`` clips them and lets their gradient pass unchanged, ``"clip"``
            clips them and stops their gradient, None leaves them.
        max_side: Larger images are shrunk until their longer side is this long.
        crop: Larger images are cut to this many pixels square, at a random place.
        min_side: The shortest side that the scorer takes.
        scorer: The scorer's name, for messages.

    Example:
        >>> inputs = Inputs(input_range=(0, 255), max_side=32)
        >>> inputs.prepare(torch.full((1, 3, 64, 64), 255.0), "pred").unique(), inputs.max_side
        (tensor([1.]), 32)
    """

    input_range: tuple[float, float] = (0.0, 1.0)
    clamp: str | None = "ste"
    max_side: int | None = None
    crop: int | None = None
    min_side: int = 1
    scorer: str = "the scorer"

    def __post_init__(self) -> None:
        """Checks the options."""
        object.__setattr__(self, "input_range", check_range(self.input_range))
        if self.clamp is not None:
            check_choice("clamp", self.clamp, CLAMPS)
        check_count("max_side", self.max_side, self.min_side, f", the side that {self.scorer} needs")
        check_count("crop", self.crop, self.min_side, f", the side that {self.scorer} needs")

    def places(self, shape: Sequence[int], device: torch.device) -> Places | None:
        """Draws where a batch is cut, or returns None where it is not.

        Args:
            shape: ``[B, 3, H, W]``, before shrinking.
            device: Where the images are.
        """
        if self.crop is None:
            return None
        size = shape[2:] if self.max_side is None else shrunk_size(shape[2], shape[3], self.max_side)
        return crop_places(shape[0], size, self.crop, device)

    def prepare(self, images: Tensor, name: str, places: Places | None = None) -> Tensor:
        """Returns what the scorer gets to see of some images.

        Args:
            images: ``[B, 3, H, W]`` in the input range.
            name: What they are called in an error.
            places: Where they are cut, see :meth:`places`.
        """
        low, high = self.input_range
        if (low, high) != (0.0, 1.0):
            images = (images - low) / (high - low)
        if self.clamp is not None:
            # What a network overshoots is scored as the picture that would be saved, and still gets a gradient.
            clamped = (images.detach() if self.clamp == "ste" else images).clamp(0, 1)
            images = straight_through(clamped, images) if self.clamp == "ste" else clamped
        if self.max_side is not None:
            images = shrink(images, self.max_side, self.min_side, name)
        return images if places is None else take(images, *places)


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


def crop_places(batch: int, size: Sequence[int], side: int, device: torch.device | str = "cpu") -> Places:
    """Draws a crop's place for each image, from torch's generator of the device.

    The places stay on the device as indices, so that nothing waits for them.

    Args:
        batch: Number of images.
        size: Their height and width.
        side: Side of the crop; an image that is shorter keeps that side.
        device: Where the images are.

    Returns:
        Row indices ``[B, h]`` and column indices ``[B, w]``.

    Example:
        >>> crop_places(2, (3, 4), 3)[0].tolist()
        [[0, 1, 2], [0, 1, 2]]
    """
    places = []
    for length in size:
        kept = min(side, length)
        start = torch.randint(length - kept + 1, (batch, 1), device=device)
        places.append(start + torch.arange(kept, device=device))
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
    # Indices apart from each other put their axes in front.
    taken = images[batch, :, rows[:, :, None], columns[:, None, :]]
    return rearrange(taken, "b h w c -> b c h w").contiguous()
