"""Agreement of predictions with human scores, on top of ``scipy.stats``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from iqaloss._errors import optional

Floats = NDArray[np.float64]


def stats() -> Any:
    """Returns ``scipy.stats``, imported when first needed."""
    return optional("scipy.stats", "scipy", "train", "measuring correlations")


def pair(pred: ArrayLike, target: ArrayLike) -> tuple[Floats, Floats]:
    """Returns predictions and targets as float64 vectors.

    Raises:
        ValueError: If their lengths differ, or a value is not finite.
    """
    x = np.asarray(pred, np.float64).reshape(-1)
    y = np.asarray(target, np.float64).reshape(-1)
    if x.shape != y.shape:
        raise ValueError(f"need as many predictions as human scores, got {x.size} and {y.size}")
    for name, values in (("predictions", x), ("human scores", y)):
        if not np.isfinite(values).all():
            raise ValueError(f"{np.count_nonzero(~np.isfinite(values))} of the {values.size} {name} are not finite")
    return x, y


def _constant(x: Floats, y: Floats) -> bool:
    return x.size < 2 or bool(np.ptp(x) == 0) or bool(np.ptp(y) == 0)


def srcc(pred: ArrayLike, target: ArrayLike) -> float:
    """Spearman's rank correlation; NaN when either side is constant.

    Example:
        >>> round(srcc([1, 2, 3], [10, 20, 90]), 4)
        1.0
    """
    x, y = pair(pred, target)
    return float("nan") if _constant(x, y) else float(stats().spearmanr(x, y).statistic)


def plcc(pred: ArrayLike, target: ArrayLike) -> float:
    """Pearson's linear correlation; NaN when either side is constant.

    Example:
        >>> round(plcc([1, 2, 3], [2, 4, 6]), 4)
        1.0
    """
    x, y = pair(pred, target)
    if _constant(x, y):
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nearly constant input: the value says it
        return float(stats().pearsonr(x, y).statistic)


def krcc(pred: ArrayLike, target: ArrayLike) -> float:
    """Kendall's rank correlation (tau-b); NaN when either side is constant.

    Example:
        >>> round(krcc([1, 2, 3], [1, 3, 2]), 4)
        0.3333
    """
    x, y = pair(pred, target)
    return float("nan") if _constant(x, y) else float(stats().kendalltau(x, y).statistic)


def row_plcc(pred: Floats, target: Floats) -> Floats:
    """Pearson's correlation of each row, ``[rows, N]`` to ``[rows]``; NaN where a row is constant or has one value.

    Example:
        >>> row_plcc(np.array([[1.0, 2, 3], [1, 1, 1]]), np.array([[2.0, 4, 6], [1, 2, 3]])).round(4)
        array([ 1., nan])
    """
    if pred.shape[1] < 2:  # scipy raises
        return np.full(len(pred), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant and nearly constant rows: the value says it
        return np.asarray(stats().pearsonr(pred, target, axis=1).statistic, np.float64)


def row_srcc(pred: Floats, target: Floats) -> Floats:
    """Spearman's rank correlation of each row, ``[rows, N]`` to ``[rows]``; NaN where a row is constant.

    Example:
        >>> row_srcc(np.array([[1.0, 2, 3]]), np.array([[10.0, 20, 90]])).round(4)
        array([1.])
    """
    ranks = (stats().rankdata(values, axis=1) for values in (pred, target))
    return row_plcc(*ranks)


def _tied_pairs(values: Floats) -> float:
    counts = np.unique(values, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / 2)


def two_afc_of_tau(tau: float, x: Floats, y: Floats) -> float:
    """Returns the 2AFC score that belongs to a value of Kendall's tau-b."""
    pairs = x.size * (x.size - 1) / 2
    free_x, free_y = pairs - _tied_pairs(x), pairs - _tied_pairs(y)
    if free_y == 0:
        return float("nan")
    if free_x == 0:
        return 0.5
    # tau-b is (concordant - discordant) / sqrt(free_x free_y).
    return 0.5 + 0.5 * tau * float(np.sqrt(free_x / free_y))


def two_afc(pred: ArrayLike, target: ArrayLike) -> float:
    """Two-alternative forced choice: the share of pairs that the predictions order as the humans do.

    Pairs with equal human scores do not count; equal predictions count one half.

    Example:
        >>> round(two_afc([1, 2, 2], [1, 2, 3]), 4)
        0.8333
    """
    x, y = pair(pred, target)
    return two_afc_of_tau(0.0 if _constant(x, y) else krcc(x, y), x, y)
