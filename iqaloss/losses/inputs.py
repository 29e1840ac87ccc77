"""What a scorer gets to see: images in its range, shrunk, cut, varied, smoothed; prediction and target alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from iqaloss._errors import check_choice, shown
from iqaloss._straight_through import straight_through
from iqaloss.losses.augment import Augment, Warp, warp
from iqaloss.losses.checks import check_count, check_finite, check_range
from iqaloss.losses.tiles import cut
from iqaloss.scorers.layers.blur import gaussian_blur

CLAMPS = ("ste", "clip")
Places = tuple[Tensor, Tensor]
"""Row indices ``[B, h]`` and column indices ``[B, w]`` of a crop of each image."""


@dataclass(frozen=True)
class Draw:
    """What is drawn for a call, the same for prediction and target.

    Attributes:
        places: Where each image is cut.
        warp: Which version of each image is scored.
    """

    places: Places | None = None
    warp: Warp | None = None


@dataclass(frozen=True)
class Inputs:
    """How a loss prepares images for its scorer.

    Attributes:
        input_range: The range of the images that a caller gives.
        clamp: What happens to values outside: ``"ste"`` clips them and lets their gradient pass unchanged, ``"clip"``
            clips them and stops their gradient, None leaves them.
        max_side: Larger images are shrunk until their longer side is this long.
        crop: Larger images are cut to this many pixels square, at a random place.
        augment: Which random versions of the images are scored.
        prefilter: Standard deviation, in pixels of what the scorer sees, of the Gaussian that comes last.
        tile: Images are cut into tiles of this many pixels square, which are scored one by one.
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
    augment: Augment | None = None
    prefilter: float | None = None
    tile: int | None = None
    min_side: int = 1
    scorer: str = "the scorer"

    def __post_init__(self) -> None:
        """Checks the options."""
        object.__setattr__(self, "input_range", check_range(self.input_range))
        if self.clamp is not None:
            check_choice("clamp", self.clamp, CLAMPS)
        for name in ("max_side", "crop", "tile"):
            side = check_count(name, getattr(self, name), self.min_side, f", the side that {self.scorer} needs")
            object.__setattr__(self, name, side)
        object.__setattr__(self, "augment", Augment.read(self.augment))
        if self.prefilter is not None and check_finite("prefilter", self.prefilter) <= 0:
            raise ValueError(f"prefilter must be None or more than 0 pixels, got {shown(self.prefilter)}")

    @property
    def fixed(self) -> dict[str, Any]:
        """The options that an encoded target must share with the loss that it is given to."""
        return {"max_side": self.max_side, "prefilter": self.prefilter, "tile": self.tile}

    @property
    def random(self) -> dict[str, Any]:
        """The options that are on and make every call another."""
        return {name: value for name in ("crop", "augment") if (value := getattr(self, name)) is not None}

    def check_fixed(self) -> None:
        """Raises ``ValueError`` where every call is another, so that a target cannot be encoded."""
        for name, value in self.random.items():
            why = "cuts at another place" if name == "crop" else "draws another version"
            raise ValueError(f"a target cannot be encoded with {name}={value}: every call {why}; pass the images")

    def draw(self, shape: Sequence[int], device: torch.device) -> Draw | None:
        """Draws what is random in a call from torch's generator of the device; None where nothing is.

        Args:
            shape: ``[B, 3, H, W]``, before shrinking.
            device: Where the images are.
        """
        if not self.random:
            return None
        batch, channels, *size = shape
        if self.max_side is not None:
            size = [*shrunk_size(size[0], size[1], self.max_side)]
        places = None
        if self.crop is not None:
            places, size = crop_places(batch, size, self.crop, device), [min(self.crop, length) for length in size]
        shape = (batch, channels, *size)
        return Draw(places, None if self.augment is None else self.augment.draw(shape, device))

    def prepare(self, images: Tensor, name: str, draw: Draw | None = None) -> Tensor:
        """Returns what the scorer gets to see of some images.

        Args:
            images: ``[B, 3, H, W]`` in the input range.
            name: What they are called in an error.
            draw: Where they are cut and how they are varied, see :meth:`draw`.
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
        if draw is not None and draw.places is not None:
            images = take(images, *draw.places)
        if draw is not None and draw.warp is not None:
            images = warp(images, *draw.warp)
        if self.prefilter is not None:
            images = gaussian_blur(images, self.prefilter, name)
        return images if self.tile is None else cut(images, self.tile)


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
