"""What the network learns: the pixel loss, and losses beside it, every term under its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from iqaloss.evaluation.probes.gaming.spec import read_loss, recommended_weight
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.registry import LossSpec
from iqaloss.scorers.base import Scorer

PIXEL = "L1"
"""What the pixel loss is called."""


def read_losses(expressions: Sequence[str]) -> dict[str, LossSpec]:
    """Reads losses; one without a weight gets that of the recipes for its mode.

    Args:
        expressions: Names, expressions or recipe files; see :func:`~iqaloss.evaluation.probes.gaming.spec.read_loss`.

    Returns:
        Name to loss; the second of a kind is numbered.

    Raises:
        ValueError: For what is no loss, or whose scorer's weights are not at hand.

    Example:
        >>> found = read_losses(["MDIQALoss(sharpness=2)", "MDIQALoss(mode=fr)"])
        >>> {name: spec.options["loss_weight"] for name, spec in found.items()}
        {'MDIQALoss': 0.03, 'MDIQALoss 2': 1.0}
    """
    found: dict[str, LossSpec] = {}
    for text in expressions:
        spec = read_loss(text)
        if "loss_weight" not in spec.options:
            spec = replace(spec, options={**spec.options, "loss_weight": recommended_weight(spec)})
        spec.check()
        kind, number = spec.loss.__name__, 1
        while (name := kind if number == 1 else f"{kind} {number}") in found:
            number += 1
        found[name] = spec
    return found


@dataclass(frozen=True)
class Objective:
    """The sum that is minimised.

    Attributes:
        pixel_weight: Weight of the L1 loss.
        losses: Name to loss, each with its own weight.
    """

    pixel_weight: float
    losses: Mapping[str, IQALoss]

    def set_step(self, step: int) -> None:
        """Tells every loss the step, for weights that follow a schedule."""
        for loss in self.losses.values():
            loss.set_step(step)

    def pixel(self, pred: Tensor, target: Tensor) -> Tensor:
        """The weighted L1 loss, in float32."""
        return self.pixel_weight * (pred.float() - target).abs().mean()

    def __call__(self, pred: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the sum, and its terms by name, which add up to it."""
        total = self.pixel(pred, target)
        terms = {PIXEL: total.detach()}
        for name, loss in self.losses.items():
            value, found = loss(pred, target, return_terms=True)
            total = total + value
            terms |= {f"{name} {term}": size for term, size in found.items()}
        return total, terms


def build_objective(specs: Mapping[str, LossSpec], pixel_weight: float, device: str) -> Objective:
    """Builds the losses on a device; those that name the same scorer share it."""
    scorers: dict[str, Scorer] = {}
    return Objective(pixel_weight, {name: spec.build_sharing(scorers).to(device) for name, spec in specs.items()})
