"""A distance between the backbone's levels: where, and in what, two images look different."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

_LEAST = 1e-4
"""Bounds the slope of the norm where no channel answers."""


def directions(level: Tensor) -> Tensor:
    """Divides a level ``[B, C, H, W]`` by its norm over the channels at each place.

    Example:
        >>> torch.allclose(directions(torch.full((1, 4, 2, 2), 3.0)), torch.tensor(0.5), atol=1e-4)
        True
    """
    return level / (level.square().sum(dim=1, keepdim=True) + _LEAST).sqrt()


class LevelDistances(nn.Module):
    """A distance for each dimension: squared differences of all channels of all levels, each channel with a weight.

    ``d_D = sum_l sum_c w_Dlc mean_xy (u_lc - u'_lc)^2`` with u the level's :func:`directions`: the form of LPIPS
    (arXiv 1801.03924), on a backbone that has learnt from people's scores, with weights for each dimension. Unlike the
    maps that the dimensions are read from, the levels say where something differs, down to two pixels.

    Args:
        channels: Channels of each level.
        dimensions: How many dimensions there are.

    Example:
        >>> distances, level = LevelDistances([4], 2), torch.rand(3, 4, 8, 8)
        >>> distances({"a": directions(level)}, {"a": directions(level)}).shape
        torch.Size([3, 2])
    """

    weights: Tensor

    def __init__(self, channels: Sequence[int], dimensions: int) -> None:
        super().__init__()
        count = sum(channels)
        alike, own = torch.full((dimensions, count), 1.0 / dimensions), torch.zeros(dimensions, count)
        own[torch.arange(count) % dimensions, torch.arange(count)] = 1.0  # dimensions differ from the start
        self.register_buffer("weights", torch.lerp(alike, own, 0.5) * dimensions / len(channels))

    def forward(self, found: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Tensor:
        """Returns the distances ``[B, D]``, float32; no gradient flows into the target.

        Args:
            found: Name to :func:`directions` of each level.
            target: The same of what they are compared with.
        """
        squared = [(found[name].float() - target[name].detach().float()).square().mean(dim=(2, 3)) for name in found]
        moved = torch.cat(squared, dim=1)
        return (moved[:, None] * self.weights.float()).sum(dim=2)
