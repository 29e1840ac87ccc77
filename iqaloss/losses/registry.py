"""Which losses there are, and how a name and options become one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from iqaloss._configs import check_options
from iqaloss._errors import unknown_name
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.lar_iqa_loss import LARIQALoss
from iqaloss.losses.mdiqa_loss import MDIQALoss
from iqaloss.losses.moe_agiqa_loss import MoEAGIQALoss
from iqaloss.losses.pmt_iqa_loss import PMTIQALoss
from iqaloss.losses.scorer_spec import ScorerSpec
from iqaloss.losses.sr_iqa_loss import SRIQALoss
from iqaloss.scorers.base import Scorer

RENAMED = {"chunk": "micro_batch", "return_parts": "return_terms"}
"""Options that have another name today, for those who know the old one."""

_LOSSES: dict[str, type[IQALoss]] = {}


def register_loss(loss: type[IQALoss]) -> None:
    """Makes a loss known to every framework under the name of its class.

    Args:
        loss: A class whose options are keywords; ``scorer`` has a default.

    Raises:
        ValueError: If the name is taken by another class.

    Example:
        >>> register_loss(MDIQALoss)
        >>> "MDIQALoss" in list_losses()
        True
    """
    old = _LOSSES.get(loss.__name__)
    if old is not None and old.__module__ != loss.__module__:
        raise ValueError(f"loss name {loss.__name__!r} is taken by {old.__module__}")
    _LOSSES[loss.__name__] = loss


for _loss in (IQALoss, LARIQALoss, MDIQALoss, MoEAGIQALoss, PMTIQALoss, SRIQALoss):
    register_loss(_loss)


def list_losses() -> list[str]:
    """Returns the names of all registered losses, sorted.

    Example:
        >>> list_losses()[:2]
        ['IQALoss', 'LARIQALoss']
    """
    return sorted(_LOSSES)


def loss_class(name: object) -> type[IQALoss]:
    """Returns a registered loss; raises ``ValueError`` with the nearest name for an unknown one."""
    if not isinstance(name, str) or name not in _LOSSES:
        raise ValueError(unknown_name("loss type", name, list_losses()))
    return _LOSSES[name]


def loss_options(loss: type[nn.Module]) -> dict[str, Any]:
    """Returns the options that a loss takes and their defaults, those that it hands to its parents included.

    Example:
        >>> list(loss_options(IQALoss))[:2], loss_options(MDIQALoss)["scorer"]
        (['scorer', 'mode'], 'mdiqa-mobile')
    """
    options: dict[str, Any] = {}
    for base in loss.__mro__:
        if "__init__" not in vars(base) or base is nn.Module:
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                options.setdefault(parameter.name, parameter.default)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return options


def check_loss_options(loss: type[IQALoss], given: Iterable[str]) -> None:
    """Raises ``ValueError`` for an option that a loss does not take, with the nearest one or the new name."""
    allowed = loss_options(loss)
    for name in given:
        if name in RENAMED and name not in allowed:
            raise ValueError(f"{loss.__name__}: the option {name!r} is called {RENAMED[name]!r} today")
    check_options(given, allowed, loss.__name__)


@dataclass(frozen=True)
class LossSpec:
    """A loss as a recipe says it, read once.

    Attributes:
        loss: The class.
        scorer: Which scorer it is made of.
        options: The other options by name.

    Example:
        >>> spec = LossSpec.read({"type": "MDIQALoss", "mode": "nr", "weights": {"sharpness": 2.0}})
        >>> spec.build(spec.scorer.tiny()).weights["sharpness"]
        2.0
    """

    loss: type[IQALoss]
    scorer: ScorerSpec
    options: Mapping[str, Any]

    @classmethod
    def read(cls, options: object) -> LossSpec:
        """Reads a mapping with ``type``, ``scorer`` (a name, or a mapping with ``name`` and options) and options.

        Raises:
            ValueError: For an unknown name, with the nearest valid one, or the new one where it was renamed.
        """
        if not isinstance(options, Mapping):
            raise ValueError(f"a loss is a mapping with a type, such as {{type: MDIQALoss}}, got {options!r}")
        loss = loss_class(options.get("type"))
        rest = {str(key): value for key, value in options.items() if key not in ("type", "scorer")}
        check_loss_options(loss, rest)
        return cls(loss, ScorerSpec.read(options.get("scorer", loss_options(loss)["scorer"])), rest)

    def check(self) -> None:
        """Raises what building would, without building the scorer: the loss itself judges its options' values.

        Raises:
            ValueError: For a wrong value, or if the scorer's weights are not at hand.
            TypeError: For a value of the wrong type.
        """
        self.scorer.check_weights()
        self.build(self.scorer.tiny())

    def build(self, scorer: Scorer | None = None) -> IQALoss:
        """Builds the loss.

        Args:
            scorer: Its scorer, where that is built already.
        """
        return self.loss(scorer=self.scorer.build() if scorer is None else scorer, **self.options)


def build_losses(specs: Mapping[str, LossSpec]) -> dict[str, IQALoss]:
    """Builds losses by name; those that name the same scorer share it."""
    scorers: dict[str, Scorer] = {}
    losses = {}
    for name, spec in specs.items():
        if spec.scorer.key not in scorers:
            scorers[spec.scorer.key] = spec.scorer.build()
        losses[name] = spec.build(scorers[spec.scorer.key])
    return losses
