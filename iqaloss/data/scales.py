"""What human scores span, and which end is good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scale:
    """What a column of human scores spans, and which end is good.

    Attributes:
        worst: The value of the worst image.
        best: The value of the best image; below ``worst`` for scores that count degradation (DMOS).

    Example:
        >>> Scale(100.0, 0.0).normalize(np.array([25.0]))  # a DMOS of 25 on 0..100, turned round
        array([0.75])
    """

    worst: float = 0.0
    best: float = 1.0

    def __post_init__(self) -> None:
        if not np.isfinite(self.best - self.worst) or self.worst == self.best:
            raise ValueError(f"a scale needs two different finite ends, got worst={self.worst}, best={self.best}")

    def normalize(self, values: Floats) -> Floats:
        """Maps scores to ``[0, 1]``, higher is better; what lies outside the scale stays outside."""
        return (np.asarray(values, np.float64) - self.worst) / (self.best - self.worst)

    def restore(self, values: Floats) -> Floats:
        """Maps normalised scores back to the scale of the table."""
        return np.asarray(values, np.float64) * (self.best - self.worst) + self.worst

    @classmethod
    def observed(cls, values: Floats, lower_is_better: bool = False) -> Scale:
        """Returns ``[0, 1]`` when every value lies in it, and else the smallest and the largest value.

        Raises:
            ValueError: If their distance is no finite number.
        """
        low, high = float(np.min(values)), float(np.max(values))
        if low >= 0.0 and high <= 1.0:
            low, high = 0.0, 1.0
        elif low == high:
            high = low + max(1.0, abs(low))  # beyond 2^53 a number and its successor by 1 are equal
        return cls(high, low) if lower_is_better else cls(low, high)
