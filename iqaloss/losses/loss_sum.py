"""Several losses as one, each with its weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from iqaloss._errors import shown
from iqaloss.losses.checks import check_finite
from iqaloss.losses.encoded import EncodedTarget
from iqaloss.losses.iqa_loss import IQALoss

Target = Tensor | Mapping[str, EncodedTarget]


class IQALossSum(nn.Module):
    """The sum of several losses, each with its own scorer, mode, options and ``loss_weight``.

    Scorers err in different places: what several of them praise is less often an artefact (mean of several metrics:
    arXiv 2504.18524; half full-reference, half no-reference: arXiv 2510.18851). A recipe, and
    :func:`iqaloss.losses.registry.read_spec`, take the losses as mappings; those that name the same scorer share it.

    Args:
        losses: Name to loss. A loss's own ``loss_weight`` is its weight in the sum.
        loss_weight: Factor of the sum.

    Raises:
        TypeError: If something else than losses is given.
        ValueError: If there is none, or their reductions differ.

    Example:
        >>> from iqaloss import MDIQALoss
        >>> score = MDIQALoss(loss_weight=0.5)
        >>> both = IQALossSum({"nr": score, "fr": IQALoss(score.scorer, "fr", loss_weight=0.25)})
        >>> value, terms = both(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64), return_terms=True)
        >>> list(terms)[:2]
        ['nr_brightness', 'nr_colorfulness']
    """

    def __init__(self, losses: Mapping[str, IQALoss], *, loss_weight: float = 1.0) -> None:
        super().__init__()
        if not isinstance(losses, Mapping) or not losses:
            raise ValueError(f"losses must map names of your choice to losses, at least one; got {shown(losses)}")
        for name, loss in losses.items():
            if not isinstance(loss, IQALoss):
                raise TypeError(f"{name} must be an IQALoss, got {type(loss).__name__}")
        reductions = {name: loss.reduction for name, loss in losses.items()}
        if len(set(reductions.values())) > 1:
            raise ValueError(f"the losses of a sum have one reduction, got {reductions}")
        self.loss_weight = check_finite("loss_weight", loss_weight)
        self.losses = nn.ModuleDict(losses)

    @property
    def compares(self) -> bool:
        """Whether any of the losses needs a target."""
        return any(loss.compares for _, loss in self.named())

    def named(self) -> list[tuple[str, IQALoss]]:
        """The losses with their names."""
        return [(name, loss) for name, loss in self.losses.items() if isinstance(loss, IQALoss)]

    def set_step(self, step: int) -> None:
        """Tells every loss the step of training, for weights that follow a schedule."""
        for _, loss in self.named():
            loss.set_step(step)

    def check(self) -> None:
        """Reads what the last call found; see :meth:`IQALoss.check`."""
        for _, loss in self.named():
            loss.check()

    def encode(self, target: Tensor) -> dict[str, EncodedTarget]:
        """Computes what is compared of a target once, for each loss that compares."""
        return {name: loss.encode(target) for name, loss in self.named() if loss.compares}

    @overload
    def forward(
        self, pred: Tensor, target: Target | None = None, *, return_terms: Literal[False] = False
    ) -> Tensor: ...

    @overload
    def forward(
        self, pred: Tensor, target: Target | None = None, *, return_terms: Literal[True]
    ) -> tuple[Tensor, dict[str, Tensor]]: ...

    def forward(
        self, pred: Tensor, target: Target | None = None, *, return_terms: bool = False
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Computes the sum.

        Args:
            pred: The restored images, ``[B, 3, H, W]``.
            target: The true images, or what :meth:`encode` made of them; needed where a loss compares.
            return_terms: Whether to return the terms as well, each as ``<loss>_<term>``; they add up to the sum.
        """
        values: list[Tensor] = []
        terms: dict[str, Any] = {}
        for name, loss in self.named():
            its = target.get(name) if isinstance(target, Mapping) else target
            value, found = loss(pred, its, return_terms=True)
            values.append(value)
            terms.update({f"{name}_{term}": self.loss_weight * size for term, size in found.items()})
        total = self.loss_weight * torch.stack(values).sum(0)
        return (total, terms) if return_terms else total
