"""The first and the last stage of the training: fits on stored statistics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.training.embedded.data import DecodedImages, Rows, clean_indices
from iqaloss.training.embedded.fitting import (
    fit_dimensions,
    fit_overall,
    fit_statistics,
    matching_falls,
    seen_by_statistics,
)
from iqaloss.training.embedded.recipe import Recipe
from iqaloss.training.embedded.statistics import (
    Progress,
    degraded_statistics,
    observed_photographs,
    observed_versions,
    scored_statistics,
)


@dataclass(frozen=True)
class Run:
    """What every stage works with.

    Attributes:
        images: Decoded photographs.
        rows: Their names and scores.
        training: Indices of the rows to train on.
        recipe: The settings.
        out: Folder in which what was computed is kept.
        progress: Is told how far a stage is.
    """

    images: DecodedImages
    rows: Rows
    training: list[int]
    recipe: Recipe
    out: Path
    progress: Progress

    @property
    def clean(self) -> list[int]:
        """Indices of the photographs that degradations start from."""
        return clean_indices(self.rows, self.training)

    @property
    def scores(self) -> Tensor:
        """Human scores of all rows."""
        return torch.tensor(self.rows.scores)


def warm_start(scorer: MDIQA, run: Run) -> None:
    """Fits the statistics part and the fusion on statistics of the backbone as it is."""
    images, recipe, progress = run.images, run.recipe, run.progress
    statistics, numbers = scored_statistics(scorer, images, run.training, recipe, run.out / "scored.pt", progress)
    degraded = degraded_statistics(scorer, images, run.clean, recipe, run.out / "degraded.pt", progress)
    fit_statistics(scorer, (statistics, numbers), run.scores, degraded, recipe, progress)
    versions, targets, _, matching = degraded
    seen, worse = seen_by_statistics(scorer, statistics), seen_by_statistics(scorer, versions)
    falls = matching_falls(targets, matching)
    fit_overall(scorer, seen, run.scores[numbers], worse, falls, recipe, recipe.warm_order)


def refit(scorer: MDIQA, run: Run) -> None:
    """Fits the statistics part and the fusion beside the trained heads."""
    images, recipe, progress = run.images, run.recipe, run.progress
    fixed = scorer.copy().freeze().fold()  # the same function, in half the time
    seen, numbers, whole = observed_photographs(fixed, images, run.training, recipe, run.out / "observed.pt", progress)
    worse, targets, known, matching = observed_versions(
        fixed, images, run.clean, recipe, run.out / "versions.pt", progress
    )
    scores, falls = run.scores[numbers], matching_falls(targets, matching)
    updated = fit_dimensions(scorer, seen, scores, worse, (targets, known, matching), recipe, progress)
    # Random views teach the dimensions; in the fit of the overall score they would cost .005 of SRCC.
    seen, scores = updated(seen).where(whole), scores[whole]
    fit_overall(scorer, seen, scores, updated(worse), falls, recipe, recipe.refit_order)
