"""Comparisons at the same price: what a judge says where each loss has cost the same PSNR.

A contestant's sweep is a curve from L1 alone (weight 0) through its weights. Losses are compared where their curves
cross the same PSNR, by linear interpolation, so that none wins by being turned down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
PRICE = "psnr_y"


@dataclass(frozen=True)
class Sweep:
    """One contestant's measures.

    Attributes:
        weights: W weights, rising, the first 0: L1 alone.
        values: Name of the measure to ``[W, S, N]``: weights, seeds, pictures.
    """

    weights: tuple[float, ...]
    values: Mapping[str, Floats]

    def means(self, name: str) -> Floats:
        """Means over seeds and pictures ``[W]``."""
        mean: Floats = self.values[name].mean((1, 2))
        return mean


def at_price(price: Floats, values: Floats, target: float) -> float:
    """Returns a value where a curve first falls to a price; NaN where it never does.

    Args:
        price: PSNR of each weight ``[W]``, the first that of L1 alone.
        values: What a judge says of each weight ``[W]``.
        target: The PSNR in question.

    Example:
        >>> at_price(np.array([30.0, 29.0]), np.array([0.4, 0.2]), 29.5)
        0.30000000000000004
    """
    for index in range(1, len(price)):
        before, after = price[index - 1], price[index]
        if after <= target <= before and before > after:
            share = (before - target) / (before - after)
            return float(values[index - 1] + share * (values[index] - values[index - 1]))
    return float("nan")


@dataclass(frozen=True)
class Interval:
    """A difference, and where 95 of 100 resamples put it; ``reached`` is the share that had one."""

    value: float
    low: float
    high: float
    reached: float

    @property
    def sure(self) -> bool:
        """Whether the interval leaves out zero, and nearly every resample reached the price."""
        return self.reached > 0.9 and (self.low > 0 or self.high < 0)


def draws(seeds: int, pictures: int, repeats: int, seed: int = 0) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Draws seeds and pictures with replacement; the same for all contestants, so that differences are paired."""
    generator = np.random.default_rng(seed)
    return [(generator.integers(0, seeds, seeds), generator.integers(0, pictures, pictures)) for _ in range(repeats)]


def gain_at_price(
    sweep: Sweep, baseline: Sweep, name: str, drop: float, resampled: Sequence[tuple[NDArray[np.int64], ...]]
) -> Interval:
    """Compares two curves where both have lost so much PSNR against L1 alone.

    Args:
        sweep: The contestant.
        baseline: Whom it is compared with; a sweep of L1 alone counts as it is, at its own PSNR.
        name: The judge.
        drop: Decibels below L1 alone.
        resampled: See :func:`draws`.

    Returns:
        The contestant minus the baseline.
    """

    def difference(seeds: NDArray[np.int64] | slice, pictures: NDArray[np.int64] | slice) -> float:
        found = []
        for each in (sweep, baseline):
            price, values = (each.values[key][:, seeds][:, :, pictures].mean((1, 2)) for key in (PRICE, name))
            found.append(at_price(price, values, price[0] - drop) if len(price) > 1 else float(values[0]))
        return found[0] - found[1]

    value = difference(slice(None), slice(None))
    drawn = np.array([difference(seeds, pictures) for seeds, pictures in resampled])
    reached = float(np.isfinite(drawn).mean()) if drawn.size else 0.0
    if reached == 0.0:
        return Interval(value, float("nan"), float("nan"), 0.0)
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high), reached)
