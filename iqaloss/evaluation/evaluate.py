"""A scorer on a set of rated images: scored, shared among processes, measured."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from iqaloss._errors import unknown_name
from iqaloss._files import locked
from iqaloss._processes import Ranks
from iqaloss.data.sources import Source
from iqaloss.evaluation.agreement.correlations import Floats
from iqaloss.evaluation.agreement.metrics import Metrics, measure, measure_groups
from iqaloss.evaluation.scoring.runner import Progress, RunOptions, describe_run, score_source
from iqaloss.evaluation.scoring.score_files import ScoreFiles
from iqaloss.scorers.base import Scorer


@dataclass(frozen=True)
class Evaluation:
    """How well a scorer agrees with the human scores of a set.

    Attributes:
        scorer: Name of the scorer.
        dataset: Name of the set.
        metrics: On all images.
        groups: On each group, where they were asked for.
        pred: The predictions.
        target: The human scores, higher is better.
        left_out: Images that could not be scored, each with the reason.
    """

    scorer: str
    dataset: str
    metrics: Metrics
    groups: dict[str, Metrics] = field(default_factory=dict)
    pred: Floats = field(default_factory=lambda: np.empty(0))
    target: Floats = field(default_factory=lambda: np.empty(0))
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Scores:
    """Predictions and human scores, read back from files."""

    pred: Floats
    target: Floats
    groups: list[str | None]
    left_out: tuple[tuple[str, str], ...]


def read_scores(files: ScoreFiles, count: int, dimension: str | None = None, *, grouped: bool = True) -> Scores:
    """Reads what is needed to measure: 16 bytes an image, and its group's name where groups are wanted.

    Raises:
        ValueError: If an image has no human score, or the scorer has no such dimension.
    """
    pred: list[Floats] = []
    target: list[Floats] = []
    groups: list[str | None] = []
    left_out: list[tuple[str, str]] = []
    column = "score" if dimension is None else f"dimension.{dimension}"
    for found in files.read(count):
        good = [row for row, error in enumerate(found["error"]) if error is None]
        if column not in found and good:
            known = [name.removeprefix("dimension.") for name in found if name.startswith("dimension.")]
            raise ValueError(unknown_name("dimension", dimension, known))
        left_out += [(found["image"][row], error) for row, error in enumerate(found["error"]) if error is not None]
        for row in good:
            if found["target"][row] is None:
                raise ValueError(f"{found['image'][row]} has no human score")
        pred.append(np.array([found[column][row] for row in good], np.float64))
        target.append(np.array([found["target"][row] for row in good], np.float64))
        if grouped:
            groups += [found["group"][row] for row in good]
    if not pred:
        raise ValueError("the source holds no image")
    return Scores(np.concatenate(pred), np.concatenate(target), groups, tuple(left_out))


def evaluate(
    scorer: Scorer,
    source: Source,
    *,
    dataset: str,
    name: str | None = None,
    folder: str | Path | None = None,
    options: RunOptions | None = None,
    dimension: str | None = None,
    per_group: bool = False,
    skip_bad: bool = False,
    repeats: int = 1000,
    seed: int = 0,
    ranks: Ranks | None = None,
    progress: Progress | None = None,
) -> Evaluation | None:
    """Scores rated images and measures the agreement.

    Several processes (``torchrun``) share the work; the first one measures, the others return None.

    Args:
        scorer: The scorer.
        source: Images with human scores, higher is better.
        dataset: Name of the set, for tables.
        name: Name of the scorer, for tables; its card's by default.
        folder: Where the scores are kept, so that a run that stopped goes on; needed for several processes.
        options: How to run.
        dimension: Name of a dimension whose scores are compared; the overall score by default.
        per_group: Whether to measure each group too.
        skip_bad: Go on without images that cannot be scored.
        repeats: Bootstrap resamples; 0 leaves the confidence intervals out.
        seed: Seed of the resamples.
        ranks: This process among several; read from the environment by default.
        progress: Called with the number of images after each file.

    Raises:
        ValueError: If images cannot be scored (all of them are listed) or have no human score, or if another run is
            writing into the folder.
    """
    options, ranks = options or RunOptions(), ranks or Ranks.from_environment()
    if dimension is not None:
        if dimension not in scorer.dimension_names:
            raise ValueError(f"{scorer.card.name}: {unknown_name('dimension', dimension, scorer.dimension_names)}")
        options = replace(options, dimensions=True)
    if folder is None and ranks.world > 1:
        raise ValueError("several processes need a folder that all of them see for their scores")
    with ExitStack() as stack:
        if folder is not None:
            stack.enter_context(locked(folder, ranks.rank == 0))
        place = folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="iqaloss-"))
        files = ScoreFiles(place, describe_run(scorer, options))
        summary = score_source(scorer, source, files, options, ranks=ranks, progress=progress)
        ranks.wait()
        if ranks.rank != 0:
            return None
        files.trim(summary.files)
        scores = read_scores(files, summary.files, dimension, grouped=per_group)
    if scores.left_out and not (skip_bad and scores.pred.size):
        raise ValueError(bad_images(dataset, scores.left_out))
    groups: dict[str, Metrics] = {}
    if per_group:
        if None in scores.groups:
            raise ValueError(f"{dataset} has no groups to measure one by one")
        groups = measure_groups(scores.pred, scores.target, [str(group) for group in scores.groups])
    return Evaluation(
        scorer=name or scorer.card.name,
        dataset=dataset,
        metrics=measure(scores.pred, scores.target, repeats=repeats, seed=seed),
        groups=groups,
        pred=scores.pred,
        target=scores.target,
        left_out=scores.left_out,
    )


def bad_images(source: str, left_out: tuple[tuple[str, str], ...], shown: int = 20) -> str:
    """Returns the message that lists images which could not be scored."""
    lines = [f"{source}: {len(left_out)} images could not be scored (--skip-bad goes on without):"]
    lines += [f"  {image}: {error}" for image, error in left_out[:shown]]
    if len(left_out) > shown:
        lines.append(f"  ... and {len(left_out) - shown} more")
    return "\n".join(lines)


def table_rows(evaluations: list[Evaluation]) -> list[dict[str, Any]]:
    """Returns the rows of a table: for each evaluation its whole set, then its groups."""
    rows = []
    for one in evaluations:
        for group, metrics in [("", one.metrics), *one.groups.items()]:
            rows.append({"scorer": one.scorer, "dataset": one.dataset, "group": group, **metrics.to_dict()})
    return rows
