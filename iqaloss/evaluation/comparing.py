"""Folders of results against each other and against the truth, picture by picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iqaloss.data.folders import walk_images
from iqaloss.data.images import load_image
from iqaloss.evaluation.agreement.bootstrap import Interval, resamples
from iqaloss.evaluation.panel.panel import Panel
from iqaloss.evaluation.probes.pictures import Report, score_versions, silent
from iqaloss.scorers.base import Scorer

LEVEL = 0.95
SCORE = "score"


@dataclass(frozen=True)
class Matched:
    """Pictures that every folder has.

    Attributes:
        names: Their names, without suffix.
        paths: Method to its pictures, in the order of the names.
        reference: The true pictures, where there is a folder of them.
        left_out: Names that some folder lacks.
    """

    names: tuple[str, ...]
    paths: Mapping[str, tuple[Path, ...]]
    reference: tuple[Path, ...] | None = None
    left_out: tuple[str, ...] = ()


def match(folders: Mapping[str, Path], reference: Path | None = None) -> Matched:
    """Finds the pictures that every folder has; files may have other suffixes.

    Args:
        folders: Method to its folder.
        reference: Folder of the true pictures.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If fewer than two folders are given, or they have no picture in common.
    """
    if len(folders) < 2:
        raise ValueError("a comparison needs at least two folders of results")
    found = {name: _by_name(folder) for name, folder in folders.items()}
    true = None if reference is None else _by_name(reference)
    every = [*found.values(), *([] if true is None else [true])]
    common = sorted(set.intersection(*(set(each) for each in every)))
    if not common:
        raise ValueError(f"no picture has the same name in all of: {', '.join(map(str, folders.values()))}")
    left_out = sorted({name for each in every for name in each} - set(common))
    return Matched(
        tuple(common),
        {method: tuple(each[name] for name in common) for method, each in found.items()},
        None if true is None else tuple(true[name] for name in common),
        tuple(left_out),
    )


def _by_name(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder of results at {folder}")
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in walk_images(folder)}


@dataclass(frozen=True)
class Difference:
    """How far a method is from the first one in a measure, over the same pictures.

    Attributes:
        mean: Mean difference; positive is better, whatever the measure's direction.
        interval: Its 95 % interval by the paired bootstrap over pictures.
        wins: Share of the pictures on which it is better; ties count half.
    """

    mean: float
    interval: Interval
    wins: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval[0] > 0 or self.interval[1] < 0


@dataclass(frozen=True)
class Comparison:
    """What was measured.

    Attributes:
        matched: The pictures.
        values: Method to measure to a number for each picture.
        lower_is_better: The measures of which that is true.
    """

    matched: Matched
    values: Mapping[str, Mapping[str, NDArray[np.float64]]]
    lower_is_better: frozenset[str] = field(default_factory=frozenset)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods; the first is what the others are held against."""
        return tuple(self.values)

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures."""
        return tuple(self.values[self.methods[0]])

    def means(self) -> dict[str, dict[str, float]]:
        """Returns method to measure to mean."""
        return {name: {key: float(each.mean()) for key, each in rows.items()} for name, rows in self.values.items()}

    def differences(self, repeats: int = 1000, seed: int = 0) -> dict[str, dict[str, Difference]]:
        """Returns, for every method but the first, measure to difference; all resamples are the same pictures."""
        first, *others = self.methods
        found: dict[str, dict[str, Difference]] = {}
        for method in others:
            found[method] = {}
            for measure in self.measures:
                sign = -1.0 if measure in self.lower_is_better else 1.0
                gaps = sign * (self.values[method][measure] - self.values[first][measure])
                found[method][measure] = paired(gaps, repeats, seed)
        return found


def paired(gaps: NDArray[np.float64], repeats: int = 1000, seed: int = 0) -> Difference:
    """Returns the mean of differences with its interval by the bootstrap over pictures.

    Example:
        >>> paired(np.array([0.1, 0.2, 0.3])).wins
        1.0
    """
    drawn = np.concatenate([gaps[rows].mean(axis=1) for rows in resamples(gaps.size, repeats, seed)])
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    wins = float((gaps > 0).mean() + 0.5 * (gaps == 0).mean())
    return Difference(float(gaps.mean()), (float(low), float(high)), wins)


def compare(matched: Matched, scorer: Scorer, panel: Panel | None = None, report: Report = silent) -> Comparison:
    """Measures every picture of every method.

    Args:
        matched: The pictures.
        scorer: Who scores them, in eval mode.
        panel: Who measures how far they are from the truth, where there is one.
        report: Is told how far it is.

    Raises:
        ValueError: If versions of a picture have different sizes.
    """
    names = (SCORE, *scorer.dimension_names)
    values: dict[str, dict[str, list[float]]] = {method: {} for method in matched.paths}
    judges = () if panel is None or matched.reference is None else panel.judges
    for index, name in enumerate(matched.names):
        images = [load_image(paths[index]) for paths in matched.paths.values()]
        true = None if matched.reference is None else load_image(matched.reference[index])
        _check_sizes(name, [*images, *([] if true is None else [true])])
        overall, dimensions = score_versions(scorer, images)
        table = torch.cat([overall[:, None], dimensions], dim=1).tolist()
        for method, row, image in zip(values, table, images):
            for measure, value in zip(names, row):
                values[method].setdefault(measure, []).append(value)
            if panel is not None and true is not None:
                for judge, found in panel.measure(image[None], true[None]).items():
                    values[method].setdefault(judge, []).append(float(found))
        report("comparing", index + 1, len(matched.names))
    arrays = {method: {key: np.array(each) for key, each in rows.items()} for method, rows in values.items()}
    return Comparison(matched, arrays, frozenset(judge.name for judge in judges if not judge.higher_is_better))


def _check_sizes(name: str, images: Sequence[Tensor]) -> None:
    sizes = {tuple(image.shape[1:]) for image in images}
    if len(sizes) > 1:
        raise ValueError(f"{name} has different sizes: {', '.join(f'{h}x{w}' for h, w in sorted(sizes))}")
