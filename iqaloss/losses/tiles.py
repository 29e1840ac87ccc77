"""Images scored tile by tile, so that the worst place counts and not the mean impression."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from iqaloss.losses.micro_batches import Terms
from iqaloss.scorers.layers.crops import spread

TEMPERATURE = 0.05
"""How much worse than another a tile must be, in units of the loss, to count e times as much with ``"softmax"``."""


def worst_quarter(losses: Tensor) -> Tensor:
    """Equal shares for the quarter of the tiles (rounded up) with the largest losses, none for the others.

    Example:
        >>> worst_quarter(torch.tensor([[0.5, 0.75, 0.25, 0.5]]))
        tensor([[0., 1., 0., 0.]])
    """
    count = math.ceil(losses.shape[1] / 4)
    return torch.zeros_like(losses).scatter(1, losses.topk(count, 1).indices, 1 / count)


POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "worst": worst_quarter,
    "softmax": lambda losses: torch.softmax(losses / TEMPERATURE, 1),
    "mean": lambda losses: torch.full_like(losses, 1 / losses.shape[1]),
}
"""The share ``[B, T]`` that each tile has in its image's loss, given the tiles' losses."""


def starts(length: int, side: int) -> list[int]:
    """Returns where tiles begin: as few as cover a line of pixels, from end to end and evenly spread.

    Example:
        >>> starts(256, 128), starts(300, 128), starts(100, 128)
        ([0, 128], [0, 86, 172], [0])
    """
    return spread(max(length - side, 0), -(-length // side))


def cut(images: Tensor, side: int) -> Tensor:
    """Cuts each image into square tiles; the tiles of an image follow each other.

    Args:
        images: ``[B, C, H, W]``.
        side: A tile's side; an image that is shorter keeps that side.

    Returns:
        ``[B T, C, h, w]``.

    Example:
        >>> cut(torch.rand(2, 3, 96, 64), 64).shape
        torch.Size([4, 3, 64, 64])
    """
    height, width = images.shape[2:]
    tiles = [
        images[:, :, top : top + side, left : left + side]
        for top in starts(height, side)
        for left in starts(width, side)
    ]
    return torch.stack(tiles, 1).flatten(0, 1)


def pooled(terms: dict[str, Tensor], losses: Tensor, batch: int, pool: str) -> Terms:
    """Makes the terms of images out of those of their tiles.

    The shares are no part of the graph: a tile's gradient is its share of its loss's gradient. They are the same for
    every term, so that the terms still add up.

    Args:
        terms: Name to term ``[B T]``.
        losses: Their sum ``[B T]``.
        batch: The number of images.
        pool: A key of :data:`POOLS`.

    Example:
        >>> losses = torch.tensor([0.25, 0.75])
        >>> pooled({"score": losses}, losses, 1, "worst")[1]
        tensor([0.7500])
    """
    shares = POOLS[pool](losses.detach().view(batch, -1))
    images = {name: (shares * term.view(batch, -1)).sum(1) for name, term in terms.items()}
    return images, (shares * losses.view(batch, -1)).sum(1)
