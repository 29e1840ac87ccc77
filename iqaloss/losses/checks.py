"""What may go wrong with a loss's input or value, said clearly."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

NONFINITE = ("raise", "skip", "ignore")
_FAR = 8.0
"""Values further out than this, in units of the input range, are taken for a wrong range, not for overshoot."""


class NonFiniteLossError(ValueError):
    """A loss or one of its dimensions came out NaN or infinite."""


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


def has_values(images: Tensor) -> bool:
    """Whether a tensor's values can be looked at: not while a graph is compiled, exported or captured, nor on meta."""
    if torch.compiler.is_compiling() or images.is_meta:
        return False
    return not (images.is_cuda and torch.cuda.is_current_stream_capturing())


def check_finite(terms: Mapping[str, Tensor], values: Tensor, images: Tensor, action: str) -> Tensor:
    """Makes sure that a loss is finite, waiting for the device.

    Args:
        terms: The per-image terms by name, to name the culprit.
        values: Their sum, ``[B]``.
        images: The images as the caller gave them, for the message.
        action: ``"raise"``, or ``"skip"``: warn and return zeros that have a zero gradient, or ``"ignore"``.

    Returns:
        The values, or zeros where the step is skipped.

    Raises:
        NonFiniteLossError: If a value is NaN or infinite and the action is ``"raise"``.
    """
    if action == "ignore" or not has_values(values) or bool(torch.isfinite(values).all()):
        return values
    culprits = [name for name, term in terms.items() if not bool(torch.isfinite(term).all())]
    raise_or_warn(nonfinite_message(culprits, describe(images)), action)
    return torch.nan_to_num(images, 0.0, 0.0, 0.0).float().flatten(1).sum(1) * 0.0


def nonfinite_message(culprits: Sequence[str], images: str) -> str:
    """Returns what is said of a value that is not finite."""
    return f"the loss is not finite in {', '.join(culprits)}; the input has {images}"


def raise_or_warn(message: str, action: str) -> None:
    """Raises :class:`NonFiniteLossError` for ``"raise"``, and warns for ``"skip"``."""
    if action == "raise":
        raise NonFiniteLossError(message)
    warnings.warn(message + "; this step is skipped", RuntimeWarning, stacklevel=5)


def check_range(images: Tensor, input_range: tuple[float, float], name: str) -> None:
    """Raises ``ValueError`` for values so far outside the range that another range must be meant."""
    if has_values(images):
        least, most = (float(value) for value in torch.aminmax(images.detach()))
        check_extremes(least, most, input_range, name)


def check_extremes(least: float, most: float, input_range: tuple[float, float], name: str) -> None:
    """Raises ``ValueError`` for extremes so far outside the range that another range must be meant."""
    low, high = input_range
    slack = _FAR * (high - low)
    if least < low - slack or most > high + slack:
        raise ValueError(
            f"{name} spans [{least:.4g}, {most:.4g}], far outside input_range=({low:g}, {high:g}); "
            "scale it, or pass the range it has, such as input_range=(0, 255)"
        )


def check_range_option(input_range: tuple[float, float]) -> tuple[float, float]:
    """Returns ``(low, high)`` as floats; raises ``ValueError`` unless low < high."""
    try:
        low, high = (float(value) for value in input_range)
    except (TypeError, ValueError):
        raise ValueError(f"input_range must be two numbers (low, high), got {input_range!r}") from None
    if not low < high:
        raise ValueError(f"input_range must be (low, high) with low < high, got {input_range!r}")
    return low, high


def check_size(name: str, value: int | None, least: int, reason: str) -> int | None:
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
