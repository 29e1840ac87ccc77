"""The four-parameter logistic that maps predictions to human scores before PLCC and RMSE (VQEG)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from iqaloss._errors import optional
from iqaloss.evaluation.agreement.correlations import Floats, pair

LEAST = 5
"""Fewest points that four parameters are fitted to."""


@dataclass(frozen=True)
class Logistic:
    r"""The monotone curve :math:`f(x) = b_2 + (b_1 - b_2) / (1 + e^{-(x - b_3) / |b_4|})`.

    VQEG, "Final report on the validation of objective models of video quality assessment, phase II", 2003.

    Attributes:
        top: :math:`b_1`, the value at plus infinity.
        bottom: :math:`b_2`, the value at minus infinity.
        middle: :math:`b_3`.
        width: :math:`|b_4|`.
    """

    top: float
    bottom: float
    middle: float
    width: float

    def __call__(self, values: ArrayLike) -> Floats:
        """Maps predictions to the scale of the human scores."""
        from scipy.special import expit

        x = np.asarray(values, np.float64)
        return np.asarray(self.bottom + (self.top - self.bottom) * expit((x - self.middle) / self.width))


def fit_logistic(pred: ArrayLike, target: ArrayLike) -> Logistic:
    """Fits the logistic to predictions and human scores by least squares.

    Raises:
        ValueError: If there are fewer than five points, or all predictions are equal.

    Example:
        >>> curve = fit_logistic(np.arange(9), np.arange(9) / 8)
        >>> bool(abs(curve(4.0) - 0.5) < 1e-3)
        True
    """
    least_squares = optional("scipy.optimize", "scipy", "train", "fitting the logistic").least_squares
    x, y = pair(pred, target)
    if x.size < LEAST or np.ptp(x) == 0:
        raise ValueError(f"the logistic needs at least {LEAST} points and predictions that differ, got {x.size} points")
    # Fitted on standardised axes, so that neither scale nor offset of a scorer matters.
    shift, spread = float(x.mean()), float(x.std())
    low, span = float(y.min()), float(np.ptp(y)) or 1.0
    u, v = (x - shift) / spread, (y - low) / span
    ends = (1.0, 0.0) if np.dot(u, v - v.mean()) >= 0 else (0.0, 1.0)

    def curve(parameters: Floats) -> Floats:
        top, bottom, middle, width = parameters
        from scipy.special import expit

        return np.asarray(bottom + (top - bottom) * expit((u - middle) / (abs(width) + 1e-6)))

    # A wide start ends at a straight line, a narrow one at a step: the best of them is taken.
    fits = [
        least_squares(lambda parameters: curve(parameters) - v, np.array([*ends, 0.0, width]), max_nfev=500)
        for width in (0.3, 1.0, 3.0)
    ]
    top, bottom, middle, width = min(fits, key=lambda fit: fit.cost).x
    return Logistic(
        top=float(low + span * top),
        bottom=float(low + span * bottom),
        middle=float(shift + spread * middle),
        width=float(spread * (abs(width) + 1e-6)),
    )
