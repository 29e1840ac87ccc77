"""Which losses there are, and how a name and options become one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from iqaloss._errors import shown, unknown_name
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.lar_iqa_loss import LARIQALoss
from iqaloss.losses.loss_sum import IQALossSum
from iqaloss.losses.mdiqa_loss import MDIQALoss
from iqaloss.losses.moe_agiqa_loss import MoEAGIQALoss
from iqaloss.losses.options import check_loss_options, loss_options
from iqaloss.losses.pmt_iqa_loss import PMTIQALoss
from iqaloss.losses.scorer_spec import ScorerSpec
from iqaloss.losses.sr_iqa_loss import SRIQALoss
from iqaloss.scorers.base import Scorer

SUM = IQALossSum.__name__
"""The name of the loss that is made of others."""

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

        A sum of losses is read by :func:`read_spec`, as every loss is.

        Raises:
            ValueError: For an unknown name, with the nearest valid one, or the new one where it was renamed.
        """
        if not isinstance(options, Mapping):
            raise ValueError(f"a loss is a mapping with a type, such as {{type: MDIQALoss}}, got {shown(options)}")
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

    def build_sharing(self, scorers: dict[str, Scorer]) -> IQALoss:
        """Builds the loss with its scorer out of those that are there, and adds it where it is not."""
        if self.scorer.key not in scorers:
            scorers[self.scorer.key] = self.scorer.build()
        return self.build(scorers[self.scorer.key])


@dataclass(frozen=True)
class SumSpec:
    """Several losses as a recipe says them, to be one.

    Attributes:
        losses: Name to loss.
        options: The options of the sum by name.

    Example:
        >>> two = {"nr": {"type": "IQALoss"}, "fr": {"type": "IQALoss", "mode": "fr", "loss_weight": 0.5}}
        >>> list(SumSpec.read({"type": "IQALossSum", "losses": two}).losses)
        ['nr', 'fr']
    """

    losses: Mapping[str, LossSpec]
    options: Mapping[str, Any]

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> SumSpec:
        """Reads ``losses`` and the other options; raises ``ValueError`` with the place of what is wrong."""
        options = {str(key): value for key, value in options.items() if key != "type"}
        check_loss_options(IQALossSum, options)
        given = options.get("losses")
        if not isinstance(given, Mapping) or not given:
            raise ValueError(f"{SUM}: losses must map names of your choice to losses, got {shown(given)}")
        losses = {}
        for name, each in given.items():
            if isinstance(each, Mapping) and each.get("type") == SUM:
                raise ValueError(f"losses.{name}: a sum has losses, and no sums, in it")
            try:
                losses[str(name)] = LossSpec.read(each)
            except ValueError as error:
                raise ValueError(f"losses.{name}: {error}") from None
        return cls(losses, {name: value for name, value in options.items() if name != "losses"})

    def check(self) -> None:
        """Raises what building would, without building a scorer."""
        for spec in self.losses.values():
            spec.scorer.check_weights()
        IQALossSum({name: spec.build(spec.scorer.tiny()) for name, spec in self.losses.items()}, **self.options)

    def build(self, scorer: Scorer | None = None) -> IQALossSum:
        """Builds the sum; losses that name the same scorer share it, or all share the one that is given."""
        if scorer is None:
            return self.build_sharing({})
        return IQALossSum({name: spec.build(scorer) for name, spec in self.losses.items()}, **self.options)

    def build_sharing(self, scorers: dict[str, Scorer]) -> IQALossSum:
        """Builds the sum with the scorers that are there, and adds those that are not."""
        return IQALossSum({name: spec.build_sharing(scorers) for name, spec in self.losses.items()}, **self.options)


def read_spec(options: object) -> LossSpec | SumSpec:
    """Reads a loss, or an ``IQALossSum``, whose ``losses`` map names of your choice to such mappings.

    Raises:
        ValueError: For an unknown name, with the nearest valid one.

    Example:
        >>> read_spec({"type": "IQALossSum", "losses": {"look": {"type": "MDIQALoss"}}}).losses["look"].scorer.name
        'mdiqa-mobile'
    """
    if isinstance(options, Mapping):
        if options.get("type") == SUM:
            return SumSpec.read(options)
        if options.get("type") not in list_losses():
            raise ValueError(unknown_name("loss type", options.get("type"), [*list_losses(), SUM]))
    return LossSpec.read(options)


def build_losses(specs: Mapping[str, LossSpec | SumSpec]) -> dict[str, IQALoss | IQALossSum]:
    """Builds losses by name; those that name the same scorer share it."""
    scorers: dict[str, Scorer] = {}
    return {name: spec.build_sharing(scorers) for name, spec in specs.items()}
