"""Confidence intervals by the bootstrap over images, computed for many resamples at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from iqaloss.evaluation.agreement.correlations import Floats, row_plcc, row_srcc, stats, two_afc_of_tau

Interval = tuple[float, float]

CELLS = 2_000_000
"""Most cells of a block of resamples, so that memory does not grow with the data."""

TAU_CELLS = 20_000_000
"""Most images times resamples for Kendall's tau, whose resamples cannot be computed together."""


def resamples(count: int, repeats: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yields blocks of row numbers drawn with replacement, ``[block, count]``, together ``repeats`` resamples."""
    generator = np.random.default_rng(seed)
    block = max(1, CELLS // max(1, count))
    for start in range(0, repeats, block):
        yield generator.integers(0, count, size=(min(block, repeats - start), count))


def confidence_intervals(
    pred: Floats,
    target: Floats,
    mapped: Floats | None,
    *,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Returns the percentile intervals of every measure.

    Args:
        pred: Predictions of N images.
        target: Human scores.
        mapped: Predictions after the logistic, whose parameters are kept; None leaves out what needs them.
        repeats: Number of resamples. Kendall's tau and 2AFC use fewer of them for more than 20,000 images.
        level: Share of the resamples inside the interval.
        seed: Seed of the resamples.

    Returns:
        Name of the measure to (low, high).
    """
    if not 0 < level < 1 or repeats < 1:
        raise ValueError(f"need 0 < level < 1 and repeats >= 1, got level={level}, repeats={repeats}")
    drawn: dict[str, list[Floats]] = {}
    tau_left = min(repeats, max(50, TAU_CELLS // max(1, pred.size)))

    def add(name: str, values: Floats) -> None:
        drawn.setdefault(name, []).append(np.atleast_1d(values))

    for rows in resamples(pred.size, repeats, seed):
        x, y = pred[rows], target[rows]
        # A resample of a few images can be constant: its correlation is NaN and does not count.
        ranks, linear = row_srcc(x, y), row_plcc(x, y)
        add("srcc", ranks)
        add("plcc", linear)
        add("main_score", (ranks + linear) / 2)
        add("rmse_raw", np.sqrt(np.mean((x - y) ** 2, axis=1)))
        add("mae_raw", np.mean(np.abs(x - y), axis=1))
        if mapped is not None:
            fitted = mapped[rows]
            add("plcc_fit", row_plcc(fitted, y))
            add("rmse", np.sqrt(np.mean((fitted - y) ** 2, axis=1)))
            add("mae", np.mean(np.abs(fitted - y), axis=1))
        for a, b in zip(x[:tau_left], y[:tau_left]):
            tau = stats().kendalltau(a, b).statistic
            add("krcc", np.float64(tau))
            add("two_afc", np.float64(two_afc_of_tau(float(tau), a, b)))
        tau_left -= min(tau_left, len(rows))
    tail = (1 - level) / 2
    out: dict[str, Interval] = {}
    for name, blocks in drawn.items():
        values = np.concatenate(blocks)
        values = values[np.isfinite(values)]
        low, high = np.quantile(values, [tail, 1 - tail]) if values.size else (float("nan"), float("nan"))
        out[name] = (float(low), float(high))
    return out
