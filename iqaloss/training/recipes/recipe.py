"""What a training is, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from iqaloss._errors import check_choice
from iqaloss.data.dataset import Transform
from iqaloss.data.scales import Scale

DRAWS = ("all", "one")
PRECISIONS = ("no", "bf16", "fp16")


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
    """Weights that a part of the scorer starts from, such as an ImageNet backbone or the result of another recipe.

    Attributes:
        file: A safetensors or torch file; relative paths start at the working directory.
        module: Dotted name of the module that takes them; empty for the whole scorer.
        prefix: Prefix of the tensors in the file that are meant; it is taken off.
        drop: Prefixes (after that) of tensors that the module does not have and need not have.
        role: The official part that the file holds, for a task that knows the model's official names; then module,
            prefix and drop do not apply.
        required: Whether a missing file is an error; otherwise the part keeps its random start.
    """

    file: str
    module: str = ""
    prefix: str = ""
    drop: tuple[str, ...] = ()
    role: str | None = None
    required: bool = True


@dataclass(frozen=True)
class DataSpec:
    """Images with scores: a table, or the folder of a published set.

    Attributes:
        name: Name of the stream, unique among its kind.
        data: A CSV or Parquet manifest, or the folder of a set as it was published.
        images: Folder of a table's images; the table's folder by default.
        layout: Name of the folder's layout; recognised by its files by default.
        split: Official split to take; all rows by default.
        shares: Name to share of the rows, for a split by content group that the package makes.
        part: Which of the shares to take.
        split_seed: Another seed, another split by group.
        target: ``"score"`` or a dimension: the column that is learnt or validated.
        head: Which head of the model learns it, where a task has several.
        scale: What the scores (and dimensions) span, when it is not what the table or layout says.
        lower_is_better: Whether a low score in the table means a good image; by default for a column named ``dmos``.
        batch_size: Images in one step, over all processes.
        weight: Factor of this stream's loss.
        transform: What happens to an image.
        views: Further versions of the image by name, each with its own transform.
        skip_bad: Whether bad rows are left out.
        limit: Take the first rows only.
    """

    name: str
    data: str
    images: str | None = None
    layout: str | None = None
    split: str | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    part: str | None = None
    split_seed: int = 0
    target: str = "score"
    head: str | None = None
    scale: Scale | None = None
    lower_is_better: bool | None = None
    batch_size: int = 1
    weight: float = 1.0
    transform: Transform = field(default_factory=Transform)
    views: Mapping[str, Transform] = field(default_factory=dict)
    skip_bad: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        if bool(self.shares) != (self.part is not None):
            raise ValueError(f"{self.name}: shares and part go together")
        if self.part is not None:
            check_choice("part", self.part, self.shares)


@dataclass(frozen=True)
class MethodsSpec:
    """Outputs of restoration methods, a folder for each, ranked by a CSV of (method, score).

    Attributes:
        name: Name of the stream.
        folder: Holds a folder of images for each method.
        ranking: CSV with the columns ``method`` and ``score``; higher is better.
        batch_size: Images of every method in one step, over all processes.
        weight: Factor of this stream's loss.
        transform: What happens to an image.
        views: Further versions of the image by name.
    """

    name: str
    folder: str
    ranking: str
    batch_size: int = 64
    weight: float = 1.0
    transform: Transform = field(default_factory=Transform)
    views: Mapping[str, Transform] = field(default_factory=dict)


@dataclass(frozen=True)
class Data:
    """All data of a training.

    Attributes:
        train: Rated sets to learn from.
        validation: Rated sets to choose the best checkpoint by.
        methods: Ranked restoration methods, for calibration.
        draw: Whether a step takes a batch of ``"all"`` streams or of ``"one"``, drawn at random.
        drop_last: Whether an epoch leaves out the images that do not fill a batch.
        sequential: Whether streams go through the model one after another (less memory, same gradient).
        workers: Loader processes for each stream.
    """

    train: tuple[DataSpec, ...]
    validation: tuple[DataSpec, ...] = ()
    methods: MethodsSpec | None = None
    draw: str = "all"
    drop_last: bool = False
    sequential: bool = True
    workers: int = 0

    def __post_init__(self) -> None:
        check_choice("draw", self.draw, DRAWS)
        for kind, streams in (("train", self.train), ("validation", self.validation)):
            names = [stream.name for stream in streams]
            if len(set(names)) < len(names):
                raise ValueError(f"{kind}: stream names must differ, got {', '.join(names)}")


@dataclass(frozen=True)
class Optimizer:
    """The optimiser: ``"adam"`` (weight decay as L2), ``"adamw"`` or ``"sgd"`` (momentum 0.9)."""

    name: str = "adamw"
    lr: float = 1e-4
    weight_decay: float = 0.0
    clip: float | None = None

    def __post_init__(self) -> None:
        check_choice("optimizer", self.name, ("adam", "adamw", "sgd"))


@dataclass(frozen=True)
class Schedule:
    """The learning rate's factor, a pure function of the step.

    Attributes:
        name: ``"constant"``, ``"cosine"`` (falls to 0 in ``period`` and rises again), ``"warmup_cosine"``, or
            ``"tenfold"`` (PMT-IQA's: a tenth every six epochs).
        unit: Whether ``period`` and ``warmup`` count ``"epoch"``s or ``"step"``s; in epochs the factor moves once
            an epoch, but for ``warmup_cosine``, which moves at every step.
        period: Length of the cosine's fall, or the horizon after a warm-up.
        warmup: Length of the linear rise.
        skip_zero: Whether the point at which the cosine is 0 is jumped over, as SR-IQA's code does.
    """

    name: str = "constant"
    unit: str = "epoch"
    period: int = 50
    warmup: int = 0
    skip_zero: bool = False

    def __post_init__(self) -> None:
        check_choice("schedule", self.name, ("constant", "cosine", "warmup_cosine", "tenfold"))
        check_choice("unit", self.unit, ("epoch", "step"))


@dataclass(frozen=True)
class Run:
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

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("key", self.key, ("srcc", "plcc"))
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs")
        for name in ("steps", "epochs", "epoch_steps", "accumulate", "validate_every", "save_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")


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
        options: Options of the task.
        start: Weights to start parts of the scorer from, in this order.
        optimizer: The optimiser.
        schedule: The learning rate's course.
        source: Where the values come from.
    """

    title: str
    scorer: ScorerSpec
    task: str
    data: Data
    run: Run
    losses: Mapping[str, float]
    options: Mapping[str, Any] = field(default_factory=dict)
    start: tuple[Start, ...] = ()
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    source: str = ""
