"""The losses in BasicSR's terms: a mapping of options in, a pair of losses out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.registry import SUM, build_losses, list_losses, read_spec

GROUP = "IQALossGroup"
"""The registered name of a group of named losses; :mod:`.model` makes one of ``train.iqa_opt``."""

Options = Mapping[str, Any]


class PairedLoss(nn.Module):
    """A loss that returns BasicSR's pair ``(perceptual, style)``, with no style part.

    Args:
        loss: Called with prediction and target.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, pred: Tensor, target: Tensor | None = None) -> tuple[Tensor, None]:
        """Returns ``(loss, None)``."""
        return self.loss(pred, target), None


class LossGroup(nn.Module):
    """Several named losses, and BasicSR's own perceptual loss beside them, in the place of one perceptual loss.

    Losses that name the same scorer share it.

    Args:
        losses: Name to the options of a loss.
        perceptual: The options of BasicSR's perceptual loss; None or no options for none.
    """

    def __init__(self, losses: Mapping[str, Options], perceptual: Options | None = None) -> None:
        super().__init__()
        built = build_losses({name: read_spec(options) for name, options in losses.items()})
        self.names = tuple(built)
        self.losses = nn.ModuleList(built.values())
        self.perceptual = _build_stock(perceptual) if perceptual else None  # BasicSR takes {} for none
        self.terms: dict[str, Tensor] = {}

    def forward(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns ``(sum of the losses, style loss)`` and leaves every term in ``terms``, by its name in the log."""
        total, style = pred.new_zeros(()).float(), None
        for name, loss in zip(self.names, self.losses):
            value, terms = loss(pred, target, return_terms=True)
            total = total + value
            self.terms[f"l_{name}"] = value.detach()
            self.terms.update({f"l_{name}_{term}": size for term, size in terms.items()})
        if self.perceptual is not None:
            percep, style = self.perceptual(pred, target)
            if percep is not None:
                total = total + percep
                self.terms["l_percep"] = percep.detach()
        return total, style


def set_step(model: Any, step: int) -> None:
    """Tells the losses of a BasicSR model the iteration, for weights that follow a schedule; right when resumed too."""
    for name, criterion in vars(model).items():
        if name.startswith("cri_") and isinstance(criterion, nn.Module):
            for loss in criterion.modules():
                if isinstance(loss, IQALoss):
                    loss.set_step(step)


def _build_stock(options: Options) -> nn.Module:
    from basicsr.losses import build_loss

    built: nn.Module = build_loss(dict(options))
    return built


def _builder(name: str) -> Callable[..., nn.Module]:
    def build(**options: Any) -> nn.Module:
        return PairedLoss(read_spec({**options, "type": name}).build())

    build.__name__ = name
    return build


def register() -> None:
    """Puts every loss, and the group of named losses, into BasicSR's loss registry, once."""
    from basicsr.utils.registry import LOSS_REGISTRY

    for name in (*list_losses(), SUM):
        if name not in LOSS_REGISTRY:
            LOSS_REGISTRY.register(_builder(name))
    if GROUP not in LOSS_REGISTRY:
        LOSS_REGISTRY._do_register(GROUP, LossGroup)
