"""Several readers of the same statistics, trained apart and averaged: one fit alone depends on its random numbers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F


class Readers(nn.Module):
    """K small MLPs ``C -> H -> D`` side by side; their mean is one MLP with K times as many hidden units.

    Args:
        wide: That MLP, ``Sequential(Dropout, Linear, GELU, Dropout, Linear)``; its weights are the start.
        count: K, a divisor of its hidden width.

    Raises:
        ValueError: If the hidden width cannot be shared out.

    Example:
        >>> wide = nn.Sequential(nn.Dropout(), nn.Linear(6, 8), nn.GELU(), nn.Dropout(), nn.Linear(8, 2)).eval()
        >>> x = torch.rand(5, 6)
        >>> torch.allclose(Readers(wide, 4)(x).mean(dim=0), wide(x), atol=1e-6)
        True
    """

    def __init__(self, wide: nn.Sequential, count: int) -> None:
        super().__init__()
        first, last = self._layers(wide)
        if count < 1 or first.out_features % count:
            raise ValueError(f"{first.out_features} hidden units cannot be shared out among {count} readers")
        self.count = count
        shared = (count, first.out_features // count)
        with torch.no_grad():
            self.expand = nn.Parameter(first.weight.unflatten(0, shared).clone())  # [K, H, C]
            self.shift = nn.Parameter(first.bias.unflatten(0, shared)[:, None].clone())  # [K, 1, H]
            self.read = nn.Parameter(count * last.weight.unflatten(1, shared).transpose(0, 1))  # [K, D, H]
            self.offset = nn.Parameter(last.bias.expand(count, 1, -1).clone())  # [K, 1, D]

    @staticmethod
    def _layers(wide: nn.Sequential) -> tuple[Any, Any]:
        return wide[1], wide[4]

    def forward(
        self, standard: Tensor, generator: Generator | None = None, std: float = 0.0, dropout: float = 0.0
    ) -> Tensor:
        """Returns what each reader reads, ``[K, B, D]``.

        Args:
            standard: Standardised statistics, ``[B, C]`` for all or ``[K, B, C]`` for each.
            generator: Source of noise and dropout; neither without one. Human scores are easily learnt by heart.
            std: Standard deviation of noise on the statistics.
            dropout: Share of statistics and of hidden units that are left out.
        """
        x = standard.expand(self.count, -1, -1)
        if generator is not None:
            x = _dropped(x + _noise(x, generator, std), generator, dropout)
        hidden = F.gelu(torch.baddbmm(self.shift, x, self.expand.transpose(1, 2)))
        if generator is not None:
            hidden = _dropped(hidden, generator, dropout)
        return torch.baddbmm(self.offset, hidden, self.read.transpose(1, 2))

    @torch.no_grad()
    def store(self, wide: nn.Sequential) -> None:
        """Writes the readers' mean into the MLP that they were made from."""
        first, last = self._layers(wide)
        first.weight.copy_(self.expand.flatten(0, 1))
        first.bias.copy_(self.shift.flatten())
        last.weight.copy_(self.read.transpose(0, 1).flatten(1) / self.count)
        last.bias.copy_(self.offset.mean(dim=(0, 1)))


def noisy_read(
    reader: nn.Sequential, standard: Tensor, generator: Generator, std: float = 0.5, dropout: float = 0.5
) -> Tensor:
    """Reads standardised statistics with noise and dropout, in any mode: human scores are easily learnt by heart."""
    x = standard + _noise(standard, generator, std)
    for layer in reader:
        x = _dropped(x, generator, dropout) if isinstance(layer, nn.Dropout) else layer(x)
    return x


def _noise(x: Tensor, generator: Generator, std: float) -> Tensor:
    """Returns uniform noise of a standard deviation for each value; drawing normal numbers takes five times as long."""
    return std * math.sqrt(12.0) * (torch.rand(x.shape, generator=generator) - 0.5).to(x.device)


def _dropped(x: Tensor, generator: Generator, share: float) -> Tensor:
    kept = torch.rand(x.shape, generator=generator) >= share
    return x * kept.to(x.device) / (1.0 - share)


def draw(count: int, total: int, batch: int, generator: Generator) -> Tensor:
    """Returns a batch of numbers below ``total`` for each reader, ``[count, batch]``."""
    return torch.randint(total, (count, batch), generator=generator)
