"""PMT-IQA's parts behind the backbone: how scales become a vector, and the vector a score and a level."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from iqaloss.scorers.pmt_iqa.config import RELEASED_SIDE, PMTIQAConfig

_CELLS = 7
_SLOPE = 0.01


class PooledScale(nn.Module):
    """One scale in the paper's form, ``GAP(Conv1x1(f))`` (section 3.2)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)

    def vector(self, reduced: Tensor) -> Tensor:
        """Returns ``[B, width]`` for a reduced map."""
        return reduced.mean(dim=(2, 3))


class FlattenedScale(nn.Module):
    """One scale in the released form, ``Linear(flatten(AvgPool7(Conv1x1(f))))``.

    Args:
        channels: Channels of the scale.
        reduced: Channels behind the convolution; None for no convolution.
        stride: Stride of the scale in the backbone.
        width: Values returned.
    """

    def __init__(self, channels: int, reduced: int | None, stride: int, width: int) -> None:
        super().__init__()
        self.reduce: nn.Module = nn.Identity() if reduced is None else nn.Conv2d(channels, reduced, 1, bias=False)
        self.pool = nn.AvgPool2d(_CELLS)
        self.project = nn.Linear((reduced or channels) * (RELEASED_SIDE // stride // _CELLS) ** 2, width)

    def vector(self, reduced: Tensor) -> Tensor:
        """Returns ``[B, width]`` for a reduced map."""
        return self.project(self.pool(reduced).flatten(1))


def build_scales(config: PMTIQAConfig, channels: Sequence[int], strides: Sequence[int]) -> nn.ModuleList:
    """Builds the scales of a configuration for a backbone's four stages."""
    if config.variant == "paper":
        return nn.ModuleList(PooledScale(count, config.width) for count in channels)
    reduced = (*config.reduced, None)
    return nn.ModuleList(FlattenedScale(*sizes, config.width) for sizes in zip(channels, reduced, strides, strict=True))


def mlp(widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Returns linear layers with ReLU and dropout between them (Eq. 4 and 6)."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


class PaperHeads(nn.Module):
    """Two separate MLPs: four linear layers for the score (Eq. 4), three for the levels (Eq. 6)."""

    def __init__(self, config: PMTIQAConfig, inputs: int) -> None:
        super().__init__()
        self.regress = mlp((inputs, *config.score_hidden, 1), config.dropout)
        self.classify = mlp((inputs, *config.level_hidden, config.levels), config.dropout)

    def shared(self, vector: Tensor) -> Tensor:
        """Returns what both heads read: the vector of all scales."""
        return vector


class ReleasedHeads(nn.Module):
    """A trunk with LeakyReLU behind both layers, one linear layer for the score, two for the levels."""

    def __init__(self, config: PMTIQAConfig, inputs: int) -> None:
        super().__init__()
        first, second = config.shared_hidden
        self.shared = nn.Sequential(
            nn.Linear(inputs, first), nn.LeakyReLU(_SLOPE), nn.Linear(first, second), nn.LeakyReLU(_SLOPE)
        )
        self.regress = nn.Linear(second, 1)
        self.classify = nn.Sequential(nn.Linear(second, second), nn.LeakyReLU(_SLOPE), nn.Linear(second, config.levels))


def expected_level(logits: Tensor) -> Tensor:
    """Returns the mean of the level distribution, ``sum_k k softmax(o)_k`` with k = 0 to K - 1, in float32.

    Args:
        logits: ``[B, K]``, worst level first.

    Returns:
        ``[B]``, in ``[0, K - 1]``.

    Example:
        >>> expected_level(torch.tensor([[0.0, 0.0, 0.0]]))
        tensor([1.])
    """
    wide = logits if logits.dtype == torch.float64 else logits.float()
    levels = torch.arange(logits.shape[1], device=wide.device, dtype=wide.dtype)
    return (wide.softmax(dim=1) * levels).sum(dim=1)
