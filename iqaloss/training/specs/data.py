"""Which images with which scores a training learns from, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from iqaloss._errors import check_choice, check_number
from iqaloss.data.dataset import Transform
from iqaloss.data.scales import Scale
from iqaloss.data.split_files import names_no_rows

LARGEST = 2**40
"""The largest of counts: more than any data set or training has."""

DRAWS = ("all", "one")
SPLIT_BY = ("group", "image", "table")


@dataclass(frozen=True)
class DataSpec:
    """Images with scores: a table or a folder.

    Attributes:
        name: Its name, unique among its kind.
        data: A table, the folder of a set as it was published, or a folder that holds one table beside its images.
        images: Folder of a table's images; the table's folder by default.
        layout: Name of the folder's layout; recognised by its files by default.
        split: Official split to take, or a file of splits: ``test.txt``, the names of its images, or
            ``AGIQA-1K.mat:train`` (see :func:`iqaloss.data.split_files.listed_names`); all rows by default.
        shares: Name to share of the rows, for a split by content group that the package makes.
        share: Which of the shares to take.
        split_seed: Another seed, another split.
        split_by: What is kept together in a split that the package makes: ``"group"``, images of one content, or
            ``"image"``, nothing, as some papers split; a scene may then be on both sides. ``"table"`` takes the
            table's own split column instead, where it has one, for the shares ``train`` and ``val``.
        prompts: A prompt for all images, or a table with the columns image and prompt; by default the data's.
        target: ``"score"`` or a dimension: the column that is learnt or validated.
        dimensions: Dimensions that are learnt from the same images, those that the data have a column of.
        votes: Columns of several people's or models' scores: a pair of images is then taught by the share of them who
            prefer one, as the released code of SR-IQA does with other models. The losses must be fidelity losses.
        head: Which head of the model learns it, where a task has several.
        scale: What the scores (and dimensions) span, when it is not what the table or layout says.
        lower_is_better: Whether a low score in the table means a good image; by default for a column named ``dmos``.
        score_column: Name of the table's column of human scores; found by its name by default.
        batch_size: Images in one step, over all processes.
        weight: Factor of this data set's loss.
        transform: What happens to an image.
        versions: Further versions of the image by name, each with its own transform.
        skip_bad: Whether bad rows are left out.
        limit: Take the first rows only.
    """

    name: str
    data: str
    images: str | None = None
    layout: str | None = None
    split: str | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    share: str | None = None
    split_seed: int = 0
    split_by: str = "group"
    prompts: str | None = None
    target: str = "score"
    dimensions: tuple[str, ...] = ()
    votes: tuple[str, ...] = ()
    head: str | None = None
    scale: Scale | None = None
    lower_is_better: bool | None = None
    score_column: str | None = None
    batch_size: int = 1
    weight: float = 1.0
    transform: Transform = field(default_factory=Transform)
    versions: Mapping[str, Transform] = field(default_factory=dict)
    skip_bad: bool = False
    limit: int | None = None

    def __post_init__(self) -> None:
        if bool(self.shares) != (self.share is not None):
            raise ValueError(f"{self.name}: shares and share go together")
        for name, share in self.shares.items():
            check_number(f"shares.{name} of {self.name}", share, above=0.0)
        if self.share is not None:
            check_choice("share", self.share, self.shares)
        check_choice("split_by", self.split_by, SPLIT_BY)
        if self.split is not None and names_no_rows(self.split):
            raise ValueError(f"{self.name}: say which rows of {self.split}: {self.split}:train or {self.split}:test")
        if self.split_by == "table" and self.shares and set(self.shares) != {"train", "val"}:
            raise ValueError(f"{self.name}: split_by=table has the shares train and val, got {', '.join(self.shares)}")
        for name in ("name", "data"):
            if not getattr(self, name):
                raise ValueError(f"{name} of a data set is empty: it takes a name and a table or folder")
        check_number(f"batch_size of {self.name}", self.batch_size, least=1, most=LARGEST)
        check_number(f"limit of {self.name}", self.limit, least=1, most=LARGEST)
        check_number(f"split_seed of {self.name}", self.split_seed, least=0, most=LARGEST)
        check_number(f"weight of {self.name}", self.weight, least=0.0)


@dataclass(frozen=True)
class MethodsSpec:
    """Outputs of restoration methods, a folder for each, ranked by a CSV of (method, score).

    Attributes:
        name: Its name, unlike those of the rated sets.
        folder: Holds a folder of images for each method.
        ranking: CSV with the columns ``method`` and ``score``; higher is better.
        batch_size: Images of every method in one step, over all processes.
        weight: Factor of this data set's loss.
        transform: What happens to an image.
        versions: Further versions of the image by name.
    """

    name: str
    folder: str
    ranking: str
    batch_size: int = 64
    weight: float = 1.0
    transform: Transform = field(default_factory=Transform)
    versions: Mapping[str, Transform] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("name", "folder", "ranking"):
            if not getattr(self, name):
                raise ValueError(f"{name} of the methods is empty")
        check_number("batch_size of the methods", self.batch_size, least=1, most=LARGEST)
        check_number("weight of the methods", self.weight, least=0.0)


@dataclass(frozen=True)
class Data:
    """All data of a training.

    Attributes:
        train: Rated sets to learn from.
        validation: Rated sets to choose the best checkpoint by.
        methods: Ranked restoration methods, for calibration.
        draw: Whether a step takes a batch of ``"all"`` data sets or of ``"one"``, drawn at random.
        drop_last: Whether an epoch leaves out the images that do not fill a batch.
        sequential: Whether data sets go through the model one after another (less memory, same gradient).
        workers: Loader processes for each data set.
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
        check_number("workers", self.workers, least=0, most=2**16)
        if not self.train and self.methods is None:
            raise ValueError("train names no data set, and there are no methods: nothing would be learnt")
        for kind, datasets in (("train", self.train), ("validation", self.validation)):
            names = [dataset.name for dataset in datasets]
            if len(set(names)) < len(names):
                raise ValueError(f"{kind}: names of data sets must differ, got {', '.join(names)}")
