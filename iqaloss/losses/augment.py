"""Random versions of the images before scoring, so that a loss is an expectation over them and not one exact grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from iqaloss._configs import parse
from iqaloss._errors import check_choice, shown
from iqaloss.losses.checks import check_count, check_switch
from iqaloss.scorers.layers.precision import full_precision

Warp = tuple[Tensor, Tensor]
"""What each image's rows ``[B, H, H]`` and columns ``[B, W, W]`` are multiplied with."""

_FARTHEST = 1 << 16
USUAL: dict[str, Any] = {"flip": True, "shift": 8, "resize": (0.75, 1.25)}
"""What a name in ``augment=["flip", "shift", "resize"]`` means."""


@dataclass(frozen=True)
class Augment:
    """Which random versions of the images are scored: the mean loss over them is what training lowers.

    A pattern that one grid of pixels rewards is rewarded by few of these versions (expectation over transformation,
    Athalye et al., arXiv 1707.07397). Each image has a draw of its own at every call, the same for prediction and
    target, from torch's generator of the device. The size stays; what comes in from beyond the border is mirrored.

    Attributes:
        flip: Whether half of the images are mirrored left to right.
        shift: Images are moved by up to this many whole pixels, each way.
        resize: Smallest and largest factor of the size; an enlarged image shows a random part of itself, a shrunk
            one (antialiased) its mirrored surroundings.

    Example:
        >>> Augment.read(["flip", "shift"])
        Augment(flip=True, shift=8, resize=(1.0, 1.0))
        >>> Augment.read({"resize": [0.9, 1.1]})
        Augment(flip=False, shift=0, resize=(0.9, 1.1))
    """

    flip: bool = False
    shift: int = 0
    resize: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        """Checks the ranges."""
        check_switch("augment.flip", self.flip)
        shift = check_count("augment.shift", self.shift, 0)
        if shift is None or shift > _FARTHEST:
            raise ValueError(f"augment.shift must be at most {_FARTHEST} pixels, got {shown(self.shift)}")
        try:
            low, high = (float(value) for value in self.resize)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"augment.resize must be two numbers (smallest, largest), got {shown(self.resize)}"
            ) from None
        if not 0.25 <= low <= high <= 4:
            raise ValueError(f"augment.resize must be (smallest, largest) within [0.25, 4], got {shown(self.resize)}")
        object.__setattr__(self, "resize", (low, high))

    @classmethod
    def read(cls, value: object) -> Augment | None:
        """Reads None, a name, names, a mapping of ranges, or what is read already; None where nothing is varied.

        Raises:
            ValueError: For an unknown name, with the nearest valid one, or a range that cannot be.
            TypeError: For anything else.
        """
        if isinstance(value, str):
            value = [value]
        if value is None or isinstance(value, Augment):
            found = value
        elif isinstance(value, Mapping):
            found = parse(cls, value, "augment")
        elif isinstance(value, Sequence):
            found = cls(**{check_choice("augment", name, tuple(USUAL)): USUAL[name] for name in value})
        else:
            names = ", ".join(USUAL)
            raise TypeError(
                f"augment must be None, names out of {names}, a mapping of them or Augment, got {shown(value)}"
            )
        return None if found == Augment() else found

    def draw(self, shape: Sequence[int], device: torch.device) -> Warp:
        """Draws a version for each image of a batch ``[B, C, H, W]``."""
        batch, _, height, width = shape
        low, high = self.resize
        scale = low + (high - low) * torch.rand(batch, 1, device=device)
        rows = self._positions(height, scale)
        columns = self._positions(width, scale)
        if self.flip:
            columns = torch.where(torch.rand(batch, 1, device=device) < 0.5, columns.flip(1), columns)
        return interpolation(rows, height, scale), interpolation(columns, width, scale)

    def _positions(self, length: int, scale: Tensor) -> Tensor:
        """Where in the image each pixel of its version lies, ``[B, length]``."""
        center = (length - 1) / 2
        offset = (torch.rand_like(scale) - 0.5) * (length - length / scale).abs()
        if self.shift:
            offset = offset + torch.randint(-self.shift, self.shift + 1, scale.shape, device=scale.device)
        return (torch.arange(length, device=scale.device) - center) / scale + center + offset


def interpolation(positions: Tensor, length: int, scale: Tensor) -> Tensor:
    """Returns the matrices that read pixels at given places of a line of pixels, mirrored beyond its ends.

    The kernel is a triangle, as wide as the distance of the places where that is more than a pixel, so that no pixel
    is skipped. It is positive and sums to one: the range of the values is kept.

    Args:
        positions: ``[B, n]``, in pixels.
        length: The line's length.
        scale: ``[B, 1]``, pixels of the result for each pixel of the line.

    Returns:
        ``[B, n, length]``.

    Example:
        >>> interpolation(torch.tensor([[-1.0, 0.5]]), 3, torch.ones(1, 1))
        tensor([[[0.0000, 1.0000, 0.0000],
                 [0.5000, 0.5000, 0.0000]]])
    """
    last = max(length - 1, 1)
    inside = last - (torch.remainder(positions, 2 * last) - last).abs()
    distance = (inside[:, :, None] - torch.arange(length, device=positions.device)).abs()
    triangle = (1 - distance * scale.clamp(max=1)[:, :, None]).relu()
    return triangle / triangle.sum(2, keepdim=True)


def warp(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Gives each image its drawn version: ``rows @ image @ columns^T``.

    Products of matrices are the same on every run, unlike torch's resizing on a GPU, and no number that was drawn
    has to reach the host.

    Args:
        images: ``[B, C, H, W]``.
        rows: ``[B, H, H]``.
        columns: ``[B, W, W]``.

    Example:
        >>> image, mirror = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2), torch.eye(2).flip(0)[None]
        >>> warp(image, torch.eye(2)[None], mirror)[0, 0]
        tensor([[2., 1.],
                [4., 3.]])
    """
    with full_precision(images.device):
        return _along_rows(_along_rows(images, columns).mT, rows).mT.contiguous()


def _along_rows(images: Tensor, matrix: Tensor) -> Tensor:
    lines = rearrange(images, "b c h w -> b (c h) w")
    return rearrange(torch.bmm(lines, matrix.mT.to(lines.dtype)), "b (c h) w -> b c h w", c=images.shape[1])
