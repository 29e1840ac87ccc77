"""Images with human scores, as columns: what every training and every evaluation reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from iqaloss._errors import unknown_name
from iqaloss.data.scales import Floats, Scale
from iqaloss.data.split_files import is_split_file, listed_names

SCORE = "score"
"""Name of the overall score among the targets."""


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used.

    Attributes:
        line: Its line in the table (the header is line 1), or its number where the table has no lines.
        image: The image that it names.
        problem: What is wrong with it.
    """

    line: int
    image: str
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.image or '(no image)'}: {self.problem}"


class ManifestError(ValueError):
    """Raised when rows of a manifest cannot be used; carries all of them.

    Attributes:
        source: The table.
        bad: Every bad row, in order.
    """

    def __init__(self, source: str, bad: Sequence[BadRow], shown: int = 50) -> None:
        self.source = source
        self.bad = tuple(bad)
        lines = [f"{source}: {len(bad)} bad row{'s' * (len(bad) != 1)} (skip_bad / --skip-bad goes on without):"]
        lines += [f"  {row}" for row in self.bad[:shown]]
        if len(bad) > shown:
            lines.append(f"  ... and {len(bad) - shown} more")
        super().__init__("\n".join(lines))


@dataclass(frozen=True)
class Manifest:
    """N images with their human scores, as columns of length N.

    Attributes:
        name: Name of the dataset, for tables and messages.
        images: Image files.
        scores: Overall scores as the table has them.
        scale: What they span; :meth:`target` uses it.
        stds: Standard deviations of the overall scores, on the table's scale.
        references: Reference images, where the dataset has them.
        prompts: The prompts that made the images, for generated ones.
        dimensions: Scores of further dimensions by name, as the table has them.
        dimension_scales: What each of them spans; the overall scale where a name is missing.
        splits: Name of the split of each row, where the dataset has an official one.
        groups: Content group of each row: rows of one group must not be split apart.
        lines: Line of each row in the table.
        skipped: Rows that were left out because they are bad.
        taken: Which column of a table the scores are, and which end of it is good, for people.
    """

    name: str
    images: tuple[Path, ...]
    scores: Floats
    scale: Scale = field(default_factory=Scale)
    stds: Floats | None = None
    references: tuple[Path | None, ...] | None = None
    prompts: tuple[str, ...] | None = None
    dimensions: Mapping[str, Floats] = field(default_factory=dict)
    dimension_scales: Mapping[str, Scale] = field(default_factory=dict)
    splits: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    lines: tuple[int, ...] = ()
    skipped: tuple[BadRow, ...] = ()
    taken: str = ""

    def __post_init__(self) -> None:
        for column, values in self._columns().items():
            if values is not None and len(values) != len(self.images):
                raise ValueError(f"{self.name}: column {column!r} has {len(values)} rows for {len(self.images)} images")

    def __len__(self) -> int:
        return len(self.images)

    def _columns(self) -> dict[str, Any]:
        return {
            "scores": self.scores,
            "stds": self.stds,
            "references": self.references,
            "prompts": self.prompts,
            "splits": self.splits,
            "groups": self.groups,
            **{f"dimensions[{name}]": values for name, values in self.dimensions.items()},
        }

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of everything that can be learnt from the manifest: ``"score"`` and the dimensions."""
        return (SCORE, *self.dimensions)

    def target(self, name: str = SCORE) -> Floats:
        """Returns a column of human scores mapped to ``[0, 1]``, higher is better.

        Raises:
            ValueError: If there is no such column.
        """
        if name == SCORE:
            return self.scale.normalize(self.scores)
        if name not in self.dimensions:
            raise ValueError(f"{self.name}: {unknown_name('target', name, self.target_names)}")
        return self.dimension_scales.get(name, self.scale).normalize(self.dimensions[name])

    def target_stds(self) -> Floats | None:
        """Returns the standard deviations on the scale of :meth:`target`; None where there are none."""
        return None if self.stds is None else self.stds / abs(self.scale.best - self.scale.worst)

    def digest(self) -> str:
        """Returns a digest of the rows: names, human scores and groups, but not where the images lie."""
        folders = {str(path.parent) for path in self.images}
        try:
            root = os.path.commonpath(folders) if folders else ""
        except ValueError:  # on several drives, or some of them relative
            root = ""
        names = [os.path.relpath(path, root) if root else str(path) for path in self.images]
        rows = [names, self.groups, self.splits, self.target().tolist()]
        rows += [[name, self.target(name).tolist()] for name in self.dimensions]
        return hashlib.sha256(repr(rows).encode("utf-8", "surrogateescape")).hexdigest()

    def subset(self, rows: Iterable[int]) -> Manifest:
        """Returns the manifest of the given rows, on the same scale."""
        kept = np.fromiter(rows, dtype=np.int64)

        def pick(values: Any) -> Any:
            return None if values is None else tuple(values[i] for i in kept)

        return replace(
            self,
            images=pick(self.images),
            scores=self.scores[kept],
            stds=None if self.stds is None else self.stds[kept],
            references=pick(self.references),
            prompts=pick(self.prompts),
            dimensions={name: values[kept] for name, values in self.dimensions.items()},
            splits=pick(self.splits),
            groups=pick(self.groups),
            lines=pick(self.lines) if self.lines else (),
        )

    def with_target(self, name: str, skip_bad: bool = False) -> Manifest:
        """Returns the rows that have a score of this name: a dimension's cell may be empty.

        Args:
            name: Out of :attr:`target_names`.
            skip_bad: Leave the other rows out, beside those that were left out before, instead of raising.

        Raises:
            ManifestError: If a row has none and ``skip_bad`` is false.
            ValueError: If there is no such column, or no row has a score of it.
        """
        missing = np.flatnonzero(~np.isfinite(self.target(name)))
        return self.without({int(row): f"no {name} score" for row in missing}, skip_bad)

    def without(self, problems: Mapping[int, str], skip_bad: bool = False) -> Manifest:
        """Returns the manifest without some rows, which join those that were left out before.

        Args:
            problems: Row to what is wrong with it.
            skip_bad: Leave them out instead of raising.

        Raises:
            ManifestError: If there is one and ``skip_bad`` is false, or no other row is left.
        """
        if not problems:
            return self
        lines = self.lines or range(1, len(self) + 1)
        bad = tuple(BadRow(lines[row], self.images[row].name, problem) for row, problem in problems.items())
        if not skip_bad or len(bad) == len(self):
            raise ManifestError(self.name, bad)
        kept = self.subset(row for row in range(len(self)) if row not in problems)
        return replace(kept, skipped=(*self.skipped, *bad))

    def with_split(self, *names: str) -> Manifest:
        """Returns the rows of the named official splits, or of one file (:mod:`iqaloss.data.split_files`).

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the manifest has no split column or no such split, or lacks an image of the file.
        """
        if len(names) == 1 and is_split_file(names[0]):
            return self._listed(names[0])
        if self.splits is None:
            raise ValueError(
                f"{self.name} has no official split, so {', '.join(map(repr, names))} cannot be taken from it; "
                "split it by content group (iqaloss.data.splits)"
            )
        known = sorted(set(self.splits))
        for name in names:
            if name not in known:
                raise ValueError(f"{self.name}: {unknown_name('split', name, known)}")
        return self.subset(i for i, split in enumerate(self.splits) if split in names)

    def _listed(self, file: str) -> Manifest:
        wanted = listed_names(file)
        absent = sorted(wanted - {image.name for image in self.images})
        if absent or not wanted:
            what = f"{len(absent)} of the images of {file}, such as {absent[0]}" if absent else f"any image of {file}"
            raise ValueError(f"{self.name} has not {what}")
        return self.subset(i for i, image in enumerate(self.images) if image.name in wanted)
