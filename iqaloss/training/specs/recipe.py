"""What a training is, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iqaloss._errors import check_choice
from iqaloss.training.specs.data import Data
from iqaloss.training.specs.run import OptimizerSpec, RunSpec, ScheduleSpec


@dataclass(frozen=True)
class ScorerSpec:
    """The scorer to train.

    Attributes:
        name: Its registered name.
        weights: A checkpoint to start from, ``"default"`` for the embedded one, or None for random weights.
        size: ``"published"`` for the published architecture, ``"tiny"`` for the small one of the tests.
        options: Fields of its config to change, nested ones as mappings.
    """

    name: str
    weights: str | None = None
    size: str = "published"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("size", self.size, ("published", "tiny"))


@dataclass(frozen=True)
class Start:
    """Weights that a module of the scorer starts from, such as an ImageNet backbone or the result of another recipe.

    Attributes:
        file: A safetensors or torch file; relative paths start at the working directory.
        module: Dotted name of the module that takes them; empty for the whole scorer.
        prefix: Prefix of the tensors in the file that are meant; it is taken off.
        drop: Prefixes (after that) of tensors that the module does not have and need not have.
        role: The role of an official file, for a task that knows the model's official names; then module,
            prefix and drop do not apply.
        required: Whether a missing file is an error; otherwise the module keeps its random start.
    """

    file: str
    module: str = ""
    prefix: str = ""
    drop: tuple[str, ...] = ()
    role: str | None = None
    required: bool = True


@dataclass(frozen=True)
class Recipe:
    """A whole training.

    Attributes:
        title: One line on what it is.
        scorer: The scorer that is trained.
        task: The registered task: which parameters learn, from which output.
        data: The data.
        run: How long and how.
        losses: Objective to weight; a task may know further terms of its own.
        options: Options of the task: plain values, or the task's own dataclass once they are read.
        start: Weights to start modules of the scorer from, in this order.
        optimizer: The optimiser.
        schedule: The learning rate's course.
        source: Where the values come from.
    """

    title: str
    scorer: ScorerSpec
    task: str
    data: Data
    run: RunSpec
    losses: Mapping[str, float]
    options: Any = field(default_factory=dict)
    start: tuple[Start, ...] = ()
    optimizer: OptimizerSpec = field(default_factory=OptimizerSpec)
    schedule: ScheduleSpec = field(default_factory=ScheduleSpec)
    source: str = ""
