"""The losses in BasicSR's terms: a mapping of options in, a pair of losses out."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from torch import Tensor, nn

import iqaloss.losses
from iqaloss._errors import unknown_name
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.factory import create_scorer

GROUP = "IQALossGroup"
"""The registered name of a group of named losses; :mod:`.model` makes one of ``train.iqa_opt``."""

Options = Mapping[str, Any]


@cache
def loss_classes() -> dict[str, type[IQALoss]]:
    """Returns every loss class of :mod:`iqaloss.losses` by name."""
    found: dict[str, type[IQALoss]] = {}
    for info in pkgutil.iter_modules(iqaloss.losses.__path__):
        module = importlib.import_module(f"iqaloss.losses.{info.name}")
        for name, value in vars(module).items():
            if inspect.isclass(value) and issubclass(value, IQALoss) and value.__module__ == module.__name__:
                found[name] = value
    return {name: loss for name, loss in found.items() if not name.startswith("_")}


def loss_options(loss_class: type[nn.Module]) -> tuple[str, ...]:
    """Returns the names of the options that a loss class takes, those that it hands to its parents included.

    Example:
        >>> loss_options(IQALoss)[:2]
        ('scorer', 'mode')
    """
    names: dict[str, None] = {}
    for base in loss_class.__mro__:
        if "__init__" not in vars(base) or base is nn.Module:
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        names.update((p.name, None) for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    return tuple(names)


def make_scorer(spec: str | Options) -> Scorer:
    """Builds a frozen and folded scorer from a recipe's word for it.

    Args:
        spec: A registered name, or a mapping with ``name`` and the options of
            :func:`iqaloss.create_scorer`, such as ``weights``.
    """
    if isinstance(spec, str):
        return create_scorer(spec).freeze().fold()
    if not isinstance(spec, Mapping) or "name" not in spec:
        raise ValueError(f"scorer must be a registered name or a mapping with name and weights, got {spec!r}")
    options = {key: value for key, value in spec.items() if key != "name"}
    if isinstance(options.get("weights"), str):
        options["weights"] = os.path.expanduser(options["weights"])
    return create_scorer(spec["name"], **options).freeze().fold()


def scorer_spec(options: Options) -> str | Options:
    """Returns the recipe's word for the scorer of a loss, or the loss class's own default."""
    if "scorer" in options:
        return options["scorer"]
    default = inspect.signature(loss_class(options)).parameters.get("scorer")
    if default is None or default.default is inspect.Parameter.empty:
        default = inspect.signature(IQALoss).parameters["scorer"]
    return default.default


def loss_class(options: Options) -> type[IQALoss]:
    """Returns the loss class that a mapping's ``type`` names; raises ``ValueError`` with the nearest name."""
    classes = loss_classes()
    if options.get("type") not in classes:
        raise ValueError(unknown_name("loss type", options.get("type"), classes))
    return classes[options["type"]]


def make_loss(options: Options, scorers: dict[str, Scorer] | None = None) -> IQALoss:
    """Builds a loss from a recipe's mapping.

    Args:
        options: ``type`` and the options of the loss; the scorer by name or as :func:`make_scorer` takes it.
        scorers: Scorers that were built before, to be shared by losses that name the same one.
    """
    chosen, spec = loss_class(options), scorer_spec(options)
    key = json.dumps(spec, sort_keys=True, default=str)
    shared = {} if scorers is None else scorers
    if key not in shared:
        shared[key] = make_scorer(spec)
    rest = {name: value for name, value in options.items() if name not in ("type", "scorer")}
    return chosen(scorer=shared[key], **rest)


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
        perceptual: The options of BasicSR's perceptual loss, or None.
    """

    def __init__(self, losses: Mapping[str, Options], perceptual: Options | None = None) -> None:
        super().__init__()
        scorers: dict[str, Scorer] = {}
        self.names = tuple(losses)
        self.losses = nn.ModuleList(make_loss(options, scorers) for options in losses.values())
        self.perceptual = None if perceptual is None else _build_stock(perceptual)
        self.parts: dict[str, Tensor] = {}

    def forward(self, pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor | None]:
        """Returns ``(sum of the losses, style loss)`` and leaves every part in ``parts``, by its name in the log."""
        total, style = pred.new_zeros(()).float(), None
        for name, loss in zip(self.names, self.losses):
            value, parts = loss(pred, target, return_terms=True)
            total = total + value
            self.parts[f"l_{name}"] = value.detach()
            self.parts.update({f"l_{name}_{part}": term for part, term in parts.items()})
        if self.perceptual is not None:
            percep, style = self.perceptual(pred, target)
            if percep is not None:
                total = total + percep
                self.parts["l_percep"] = percep.detach()
        return total, style


def _build_stock(options: Options) -> nn.Module:
    from basicsr.losses import build_loss

    built: nn.Module = build_loss(dict(options))
    return built


def _builder(name: str) -> Callable[..., nn.Module]:
    def build(**options: Any) -> nn.Module:
        return PairedLoss(make_loss({**options, "type": name}))

    build.__name__ = name
    return build


def register() -> None:
    """Puts every loss, and the group of named losses, into BasicSR's loss registry, once."""
    from basicsr.utils.registry import LOSS_REGISTRY

    for name in loss_classes():
        if name not in LOSS_REGISTRY:
            LOSS_REGISTRY.register(_builder(name))
    if GROUP not in LOSS_REGISTRY:
        LOSS_REGISTRY._do_register(GROUP, LossGroup)
