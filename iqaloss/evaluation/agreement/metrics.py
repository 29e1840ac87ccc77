"""All measures of a scorer on a set of rated images, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from iqaloss.evaluation.agreement import correlations
from iqaloss.evaluation.agreement.bootstrap import Interval, confidence_intervals
from iqaloss.evaluation.agreement.logistic import LEAST, Logistic, fit_logistic

NAMES = ("srcc", "plcc", "plcc_fit", "krcc", "rmse", "mae", "rmse_raw", "mae_raw", "two_afc", "main_score")
"""The measures, in the order of tables."""


@dataclass(frozen=True)
class Metrics:
    """Agreement of a scorer with human scores on n images; NaN where a measure is not defined.

    Attributes:
        n: Number of images.
        srcc: Spearman's rank correlation.
        plcc: Pearson's correlation of the raw predictions.
        plcc_fit: Pearson's correlation after the four-parameter logistic.
        krcc: Kendall's tau-b.
        rmse: Root mean squared error after the logistic, on the scale of the human scores.
        mae: Mean absolute error after the logistic.
        rmse_raw: Root mean squared error of the predictions as they are: for scorers on the humans' scale.
        mae_raw: Mean absolute error of the predictions as they are.
        two_afc: Share of pairs in the humans' order.
        main_score: Mean of SRCC and PLCC, the NTIRE challenges' Main Score.
        ci: Name of a measure to its confidence interval.
        curve: The fitted logistic.
    """

    n: int
    srcc: float
    plcc: float
    plcc_fit: float
    krcc: float
    rmse: float
    mae: float
    rmse_raw: float
    mae_raw: float
    two_afc: float
    main_score: float
    ci: dict[str, Interval] = field(default_factory=dict)
    curve: Logistic | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON; NaN becomes None."""
        values: dict[str, Any] = {name: _plain(getattr(self, name)) for name in NAMES}
        ci = {name: [_plain(low), _plain(high)] for name, (low, high) in self.ci.items()}
        return {**values, "n": self.n, "ci": ci}


def _plain(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def measure(
    pred: ArrayLike,
    target: ArrayLike,
    *,
    repeats: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Metrics:
    """Measures predictions against human scores.

    Args:
        pred: Predictions of N images, higher is better.
        target: Human scores, higher is better, on any scale.
        repeats: Number of bootstrap resamples; 0 leaves the intervals out.
        level: Level of the intervals.
        seed: Seed of the resamples.

    Raises:
        ValueError: If the lengths differ, or a value is not finite.

    Example:
        >>> round(measure([1, 2, 3, 4, 5], [1, 2, 3, 5, 4], repeats=0).srcc, 3)
        0.9
    """
    x, y = correlations.pair(pred, target)
    curve = fit_logistic(x, y) if x.size >= LEAST and np.ptp(x) > 0 else None
    mapped = None if curve is None else curve(x)
    intervals = (
        confidence_intervals(x, y, mapped, repeats=repeats, level=level, seed=seed) if repeats and x.size > 1 else {}
    )
    nan = float("nan")
    return Metrics(
        n=x.size,
        srcc=correlations.srcc(x, y),
        plcc=correlations.plcc(x, y),
        plcc_fit=nan if mapped is None else correlations.plcc(mapped, y),
        krcc=correlations.krcc(x, y),
        rmse=nan if mapped is None else float(np.sqrt(np.mean((mapped - y) ** 2))),
        mae=nan if mapped is None else float(np.mean(np.abs(mapped - y))),
        rmse_raw=float(np.sqrt(np.mean((x - y) ** 2))),
        mae_raw=float(np.mean(np.abs(x - y))),
        two_afc=correlations.two_afc(x, y) if x.size > 1 else nan,
        main_score=(correlations.srcc(x, y) + correlations.plcc(x, y)) / 2,
        ci=intervals,
        curve=curve,
    )


def measure_groups(
    pred: ArrayLike, target: ArrayLike, groups: Sequence[str], *, repeats: int = 0, seed: int = 0
) -> dict[str, Metrics]:
    """Measures each group on its own; sorted by name."""
    x, y = correlations.pair(pred, target)
    if len(groups) != x.size:
        raise ValueError(f"need a group for each of the {x.size} images, got {len(groups)}")
    names, member = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    return {
        str(name): measure(x[member == index], y[member == index], repeats=repeats, seed=seed)
        for index, name in enumerate(names)
    }
