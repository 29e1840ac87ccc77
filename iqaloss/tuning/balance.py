"""How large each loss's gradient is on the output, beside the pixel loss's, and the weight that balances it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from iqaloss.tuning.objective import Objective

SOUND = (0.02, 20.0)
"""A loss's gradient by the pixel loss's that is worth no warning. At 0.03 MDIQALoss measured 2 to 5 (version
1) on the outputs of the project's start network, at ten times as much, which spoils pictures, 20 to 50."""


@dataclass(frozen=True)
class Balance:
    """A loss's gradient beside the pixel loss's.

    Attributes:
        name: The loss.
        weight: Its weight.
        ratio: Length of its gradient, with its weight, by that of the pixel loss's, with its own.
        balanced: The weight at which both are equally long; None where its gradient is zero.
    """

    name: str
    weight: float
    ratio: float
    balanced: float | None

    @property
    def warning(self) -> str | None:
        """What is wrong with the weight, if anything is."""
        if self.balanced is None or not self.weight:
            return f"{self.name} has no gradient on the output at the start: it will not be felt"
        if SOUND[0] <= self.ratio <= SOUND[1]:
            return None
        how = "large" if self.ratio > SOUND[1] else "small"
        return (
            f"the gradient of {self.name} is {self.ratio:.2g} times the pixel loss's, which is very {how}: "
            f"loss_weight={self.balanced:.2g} would balance them"
        )

    def __str__(self) -> str:
        """The line that is shown."""
        balanced = "-" if self.balanced is None else f"{self.balanced:.2g}"
        return f"gradient of {self.name} at weight {self.weight:g}: {self.ratio:.2g} times L1's; balanced at {balanced}"


def measure_balance(objective: Objective, pred: Tensor, target: Tensor) -> list[Balance]:
    """Measures every loss's gradient on the output, and the pixel loss's.

    Args:
        objective: The losses.
        pred: What the network makes now; no graph is needed.
        target: The true images.

    Example:
        >>> from iqaloss.tuning.objective import build_objective, read_losses
        >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
        <torch...>
        >>> objective = build_objective(read_losses(["MDIQALoss"]), 1.0, "cpu")
        >>> (found,) = measure_balance(objective, torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))
        >>> found.name, found.weight, found.ratio > 0
        ('MDIQALoss', 0.03, True)
    """
    pixels = pred.detach().float().requires_grad_()
    own = _length(objective.pixel(pixels, target), pixels)
    if not own:  # the pixel loss weighs nothing, or the network is perfect: compare with one of weight 1
        own = float(pixels.numel()) ** -0.5
    found = []
    for name, loss in objective.losses.items():
        ratio = _length(loss(pixels, target), pixels) / own
        weight = float(loss.loss_weight)
        balanced = abs(weight) / ratio if ratio and weight else None
        found.append(Balance(name, weight, ratio, balanced))
    return found


def _length(value: Tensor, pixels: Tensor) -> float:
    return float(torch.autograd.grad(value, pixels)[0].norm())


def summary(balances: list[Balance]) -> list[Mapping[str, float | str | None]]:
    """Returns what was measured as plain values, for settings and reports."""
    return [
        {"loss": one.name, "weight": one.weight, "gradient by L1's": one.ratio, "balanced weight": one.balanced}
        for one in balances
    ]
