"""What may go wrong with a loss's input or value, said clearly."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

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


def check_finite(terms: Mapping[str, Tensor], values: Tensor, images: Tensor, action: str) -> Tensor:
    """Makes sure that a loss is finite.

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
    # A compiled graph has no place for a Python branch on a value.
    if action == "ignore" or torch.compiler.is_compiling() or bool(torch.isfinite(values).all()):
        return values
    culprits = [name for name, term in terms.items() if not bool(torch.isfinite(term).all())]
    message = f"the loss is not finite in {', '.join(culprits)}; the input has {describe(images)}"
    if action == "raise":
        raise NonFiniteLossError(message)
    warnings.warn(message + "; this step is skipped", RuntimeWarning, stacklevel=3)
    return torch.nan_to_num(images, 0.0, 0.0, 0.0).float().flatten(1).sum(1) * 0.0


def check_range(images: Tensor, input_range: tuple[float, float], name: str) -> None:
    """Raises ``ValueError`` for values so far outside the range that another range must be meant."""
    if torch.compiler.is_compiling():
        return
    low, high = input_range
    least, most = (float(value) for value in torch.aminmax(images.detach()))
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
