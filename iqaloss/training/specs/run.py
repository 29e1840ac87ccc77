"""How long a training runs, how fast it learns and how precisely it computes, as data."""

from __future__ import annotations

from dataclasses import dataclass

from iqaloss._errors import check_choice, check_number
from iqaloss.training.specs.data import LARGEST

PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class OptimizerSpec:
    """The optimiser: ``"adam"`` (weight decay as L2), ``"adamw"`` or ``"sgd"`` (momentum 0.9)."""

    name: str = "adamw"
    lr: float = 1e-4
    weight_decay: float = 0.0
    clip: float | None = None

    def __post_init__(self) -> None:
        check_choice("optimizer", self.name, ("adam", "adamw", "sgd"))
        check_number("lr", self.lr, least=0.0)
        check_number("weight_decay", self.weight_decay, least=0.0)
        check_number("clip", self.clip, above=0.0)


@dataclass(frozen=True)
class ScheduleSpec:
    """The learning rate's factor, a pure function of the step.

    Attributes:
        name: ``"constant"``, ``"cosine"`` (falls to 0 in ``period`` and rises again), ``"warmup_cosine"``, or
            ``"tenfold"`` (PMT-IQA's: a tenth every six epochs).
        unit: Whether ``period`` and ``warmup`` count ``"epoch"``s or ``"step"``s; in epochs the factor moves once
            an epoch, but for ``warmup_cosine``, which moves at every step.
        period: Length of the cosine's fall, or the horizon after a warm-up; None for the whole training.
        warmup: Length of the linear rise.
        skip_zero: Whether the point at which the cosine is 0 is jumped over, as SR-IQA's code does.
    """

    name: str = "constant"
    unit: str = "epoch"
    period: int | None = 50
    warmup: int = 0
    skip_zero: bool = False

    def __post_init__(self) -> None:
        check_choice("schedule", self.name, ("constant", "cosine", "warmup_cosine", "tenfold"))
        check_choice("unit", self.unit, ("epoch", "step"))
        check_number("period", self.period, least=1, most=LARGEST)
        check_number("warmup", self.warmup, least=0, most=LARGEST)


@dataclass(frozen=True)
class RunSpec:
    """How long and how.

    Attributes:
        steps: Optimiser steps; or give epochs.
        epochs: Passes over the data.
        epoch_steps: Steps that count as an epoch; one pass over the data by default.
        seed: Seed of everything.
        accumulate: Passes over which a batch is divided; losses over a whole batch see one pass of it.
        precision: ``"no"``, ``"bf16"`` or ``"fp16"``.
        ema: Decay of the moving average of the weights, which then is what is validated and saved; None for none.
        dropout: Replaces every dropout rate of the scorer; None leaves them.
        validate_every: Steps between validations; an epoch by default.
        save_every: Steps between writes of the training state; as often as validation by default.
        key: ``"srcc"`` or ``"plcc"``: what the best checkpoint is chosen by, as a mean over the validation sets.
        keep_each: Whether the best checkpoint of each validation set, of each head say, is kept as well, as
            ``best_<name>.safetensors``.
    """

    steps: int | None = None
    epochs: int | None = None
    epoch_steps: int | None = None
    seed: int = 123
    accumulate: int = 1
    precision: str = "no"
    ema: float | None = None
    dropout: float | None = None
    validate_every: int | None = None
    save_every: int | None = None
    key: str = "srcc"
    keep_each: bool = False

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("key", self.key, ("srcc", "plcc"))
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        for name in ("steps", "epochs", "epoch_steps", "accumulate", "validate_every", "save_every"):
            check_number(name, getattr(self, name), least=1, most=LARGEST)
        check_number("seed", self.seed, least=0, most=2**63 - 1)
        check_number("ema", self.ema, above=0.0, below=1.0)
        check_number("dropout", self.dropout, least=0.0, most=1.0)
