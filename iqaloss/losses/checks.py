"""Options and values of a loss that cannot be right, said clearly; every check returns what it was given."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

from iqaloss._errors import shown
from iqaloss.scorers.base import Scorer

NONFINITE = ("raise", "skip", "ignore")
_FAR = 8.0
"""Values further out than this, in units of the input range, are taken for a wrong range, not for overshoot."""
_MANY = 0.25
"""The share of values outside the range from which on another range must be meant."""
_SLIVER = 0.01
"""The share of the range that no picture is confined to."""
_LEAST, _MOST = 1e-18, 1e18
"""Between these a number's square is still within float32's range."""
_NARROWEST = 1e-5
"""The least width of a range, in units of its larger end: below, float32 has few values in it."""
_LARGEST = 2**40
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


SKIPPED = (
    "this loss is a zero without a graph for this step; leave out optimizer.step() if the network's output, or another "
    "loss of the step, is not finite either"
)
"""What becomes of a skipped step, and what is left for the training loop to do."""


def nonfinite_message(culprits: Sequence[str], inputs: Sequence[str], images: str) -> str:
    """Returns what is said of a value, or of images, that are not finite."""
    wrong = [f"the loss is not finite in {', '.join(culprits)}"] if culprits else []
    if inputs:
        wrong.append(f"{' and '.join(inputs)} {'are' if len(inputs) > 1 else 'is'} not finite")
    return f"{', '.join(wrong)}; the input has {images}"


def raise_or_warn(message: str, action: str, skipped: str = SKIPPED) -> None:
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


def range_doubt(least: float, most: float, outside: float, input_range: tuple[float, float], name: str) -> str | None:
    """Returns what is said of finite images whose range is possible and yet hardly the one that was named, or None.

    Args:
        least: Their smallest value.
        most: Their largest value.
        outside: The share of values that lie clearly outside the range.
        input_range: The range that was named.
        name: What they are called.

    Example:
        >>> range_doubt(-0.2, 1.1, 0.01, (0.0, 1.0), "pred")  # a network overshoots
        >>> range_doubt(0.0, 1.0, 0.0, (0.0, 255.0), "pred")
        'pred spans [0, 1], a sliver of input_range=(0, 255): is that its range?'
    """
    low, high = input_range
    given, said = f"{name} spans [{least:.4g}, {most:.4g}]", f"input_range=({low:g}, {high:g})"
    if outside > _MANY:
        return f"{given}, and {outside:.0%} of it lie outside {said}: is that its range? [-1, 1] is input_range=(-1, 1)"
    sliver = _SLIVER * (high - low)
    # What a network that begins to learn, or a flat picture, gives in [0, 1] lies on both sides of 0, or has one value.
    below = sliver if high - low > 2 else 0.0
    if low - below <= least < most <= low + sliver:
        return f"{given}, a sliver of {said}: is that its range?"
    return None


# --- options ---


def check_range(input_range: tuple[float, float]) -> tuple[float, float]:
    """Returns ``(low, high)`` as floats.

    Raises:
        ValueError: Unless they are two finite numbers, low < high, that float32 tells apart with values between them.
    """
    try:
        low, high = (check_finite("input_range", value) for value in input_range)
    except (TypeError, ValueError):
        raise ValueError(f"input_range must be two finite numbers (low, high), got {shown(input_range)}") from None
    if not low < high:
        raise ValueError(f"input_range must be (low, high) with low < high, got {shown(input_range)}")
    if high - low < _NARROWEST * max(abs(low), abs(high)):
        raise ValueError(f"input_range is too narrow for float32, got {shown(input_range)}; shift it towards 0")
    return low, high


def check_finite(name: str, value: float, *, negative: bool = True) -> float:
    """Returns a number that float32 can multiply with, negative or not, as a float.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is NaN, infinite, or beyond what float32 can multiply with, or negative and may not be.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or (number < 0 and not negative):
        raise ValueError(f"{name} must be finite{'' if negative else ' and not negative'}, got {shown(value)}")
    if number and not _LEAST <= abs(number) <= _MOST:
        raise ValueError(f"{name} must be 0 or between {_LEAST:g} and {_MOST:g} in size, got {shown(value)}")
    return number


def check_switch(name: str, value: bool) -> bool:
    """Returns True or False; raises ``TypeError`` for anything else."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return value


def check_count(name: str, value: int | None, least: int = 1, reason: str = "") -> int | None:
    """Returns an optional whole number of at least ``least``, as an int.

    Raises:
        TypeError: If it is neither None nor a whole number.
        ValueError: If it is less than ``least`` (the message gives the reason), or more than any image has pixels.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number or None, got {shown(value)}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}{reason}, got {shown(value)}")
    if value > _LARGEST:
        raise ValueError(f"{name} must be at most {_LARGEST}, got {shown(value)}")
    return int(value)


def check_transforms(options: Sequence[str]) -> None:
    """Raises ``RuntimeError`` inside a transform of ``torch.func`` that a loss with some options cannot follow.

    Args:
        options: The options that are on and have a backward pass of their own.
    """
    if torch.compiler.is_compiling():
        return
    interpreter = torch._C._functorch.peek_interpreter_stack()  # type: ignore[attr-defined]
    if interpreter is None:
        return
    transform = interpreter.key().name
    if transform == "Vmap":
        raise RuntimeError(
            'a loss takes a batch and cannot be mapped by torch.func.vmap: pass the batch, with reduction="none" for a '
            "loss of each image"
        )
    if options:
        raise RuntimeError(
            f"a loss with {', '.join(options)} has a backward pass of its own, which torch.func cannot "
            "follow: leave the option out, or use torch.autograd.grad"
        )


def check_model(loss: str, scorer: Scorer, model: type[S], title: str) -> S:
    """Returns a scorer of the model that a loss is made for; raises ``ValueError`` for another."""
    if not isinstance(scorer, model):
        raise ValueError(f"{loss} needs {title} scorer, got {shown(scorer.card.name)}; see IQALoss")
    return scorer
