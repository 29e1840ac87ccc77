"""Options and values of a loss that cannot be right, said clearly; every check returns what it was given."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from iqaloss.scorers.base import Scorer

NONFINITE = ("raise", "skip", "ignore")
_FAR = 8.0
"""Values further out than this, in units of the input range, are taken for a wrong range, not for overshoot."""
S = TypeVar("S", bound=Scorer)


class NonFiniteLossError(ValueError):
    """A loss or one of its dimensions came out NaN or infinite."""


# --- values ---


def describe(images: Tensor) -> str:
    """Returns shape, extremes, mean and the share of non-finite values of a tensor, for messages."""
    values = images.detach().float()
    finite = values[torch.isfinite(values)]
    bad = values.numel() - finite.numel()
    if not finite.numel():
        return f"shape {list(images.shape)}, no finite value"
    return (
        f"shape {list(images.shape)}, min {finite.min():.4g}, max {finite.max():.4g}, mean {finite.mean():.4g}, "
        f"{bad} of {values.numel()} values not finite"
    )


def nonfinite_message(culprits: Sequence[str], images: str) -> str:
    """Returns what is said of a value that is not finite."""
    return f"the loss is not finite in {', '.join(culprits)}; the input has {images}"


def raise_or_warn(message: str, action: str, skipped: str = "this step is skipped") -> None:
    """Raises :class:`NonFiniteLossError` for ``"raise"``, and warns for ``"skip"``."""
    if action == "raise":
        raise NonFiniteLossError(message)
    warnings.warn(f"{message}; {skipped}", RuntimeWarning, stacklevel=5)


def check_extremes(least: float, most: float, input_range: tuple[float, float], name: str) -> None:
    """Raises ``ValueError`` for extremes so far outside the range that another range must be meant."""
    low, high = input_range
    slack = _FAR * (high - low)
    if least < low - slack or most > high + slack:
        raise ValueError(
            f"{name} spans [{least:.4g}, {most:.4g}], far outside input_range=({low:g}, {high:g}); "
            "scale it, or pass the range it has, such as input_range=(0, 255)"
        )


# --- options ---


def check_range(input_range: tuple[float, float]) -> tuple[float, float]:
    """Returns ``(low, high)`` as floats; raises ``ValueError`` unless low < high."""
    try:
        low, high = (float(value) for value in input_range)
    except (TypeError, ValueError):
        raise ValueError(f"input_range must be two numbers (low, high), got {input_range!r}") from None
    if not low < high:
        raise ValueError(f"input_range must be (low, high) with low < high, got {input_range!r}")
    return low, high


def check_finite(name: str, value: float, *, negative: bool = True) -> float:
    """Returns a finite number, negative or not, as a float.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is NaN or infinite, or negative and may not be.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    if not math.isfinite(value) or (value < 0 and not negative):
        raise ValueError(f"{name} must be finite{'' if negative else ' and not negative'}, got {value!r}")
    return float(value)


def check_switch(name: str, value: bool) -> bool:
    """Returns True or False; raises ``TypeError`` for anything else."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def check_count(name: str, value: int | None, least: int = 1, reason: str = "") -> int | None:
    """Returns an optional whole number of at least ``least``.

    Raises:
        TypeError: If it is neither None nor a whole number.
        ValueError: If it is less than ``least``; the message gives the reason.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number or None, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}{reason}, got {value}")
    return value


def check_model(loss: str, scorer: Scorer, model: type[S], title: str) -> S:
    """Returns a scorer of the model that a loss is made for; raises ``ValueError`` for another."""
    if not isinstance(scorer, model):
        raise ValueError(f"{loss} needs {title} scorer, got {scorer.card.name!r}; see IQALoss")
    return scorer
