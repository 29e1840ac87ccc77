"""Losses in traiNNer-redux: registered by name, weighed by its trainer, every term in its log.

traiNNer keeps one loss for each type, so that a no-reference and a full-reference loss have types of their own:
``MDIQANRLoss`` and ``MDIQAFRLoss`` beside ``MDIQALoss``. It multiplies by ``loss_weight`` itself, and drops terms that
are not above zero.

``python -m iqaloss.integrations.trainner -opt recipe.yml``, in its folder, runs its ``train.py`` with the losses.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from iqaloss.losses.registry import SUM, list_losses, read_spec

MODES = {"NR": "nr", "FR": "fr"}
"""What a type is called more to the mode that it then has."""


class WeighedByTrainer(nn.Module):
    """A loss whose ``loss_weight`` the trainer applies.

    Args:
        loss: The loss; its own weight is left to the trainer.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    @property
    def loss_weight(self) -> float:
        """What the trainer multiplies with."""
        return float(self.loss.loss_weight)  # type: ignore[arg-type]

    def forward(self, pred: Tensor, target: Tensor) -> Tensor | dict[str, Tensor]:
        """Returns the terms, which add up to the loss in value and in gradient.

        Where a term is not above zero, which the trainer would drop, it returns their sum.
        """
        weight, self.loss.loss_weight = self.loss.loss_weight, 1.0  # type: ignore[assignment]
        try:
            value, terms = self.loss(pred, target, return_terms=True)
        finally:
            self.loss.loss_weight = weight
        total = sum(terms.values())
        if len(terms) < 2 or any(float(term) <= 0 for term in terms.values()):
            return value
        # Each term carries its share of the gradient: the shares add up to one.
        return {name: value * (term / total) for name, term in terms.items()}


def _builder(name: str, loss: str, **fixed: Any) -> Callable[..., nn.Module]:
    def build(**options: Any) -> nn.Module:
        return WeighedByTrainer(read_spec({**options, **fixed, "type": loss}).build())

    build.__name__ = name
    return build


def builders() -> dict[str, Callable[..., nn.Module]]:
    """Returns type to what builds it from a recipe's options.

    Example:
        >>> sorted(builders())[:4]
        ['IQAFRLoss', 'IQALoss', 'IQALossSum', 'IQANRLoss']
    """
    found = {name: _builder(name, name) for name in (*list_losses(), SUM)}
    for loss in list_losses():
        for word, mode in MODES.items():
            name = f"{loss.removesuffix('Loss')}{word}Loss"
            found[name] = _builder(name, loss, mode=mode)
    return found


def register(registry: Any = None) -> None:
    """Puts the losses into traiNNer's registry; calling it again changes nothing.

    Args:
        registry: Its ``LOSS_REGISTRY``, where that is at hand.

    Raises:
        ImportError: If traiNNer is not importable: run this in its folder.
    """
    if registry is None:
        try:
            registry = importlib.import_module("traiNNer.utils.registry").LOSS_REGISTRY
        except ImportError as error:
            raise ImportError(f"traiNNer-redux cannot be imported; run this in its folder ({error})") from error
    for name, build in builders().items():
        if name not in registry:
            registry.register(build)


if __name__ == "__main__":
    sys.path.insert(0, ".")
    register()
    runpy.run_path("train.py", run_name="__main__")
