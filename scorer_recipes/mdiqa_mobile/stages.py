"""The first and the last stage of the training: fits on stored statistics."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from tempfile import TemporaryDirectory

from iqaloss.scorers.mdiqa.model import MDIQA
from scorer_recipes.mdiqa_mobile.fitting import (
    fit_overall,
    fit_statistics,
    matching_falls,
    seen_by_statistics,
    weigh_heads,
)
from scorer_recipes.mdiqa_mobile.run import Run
from scorer_recipes.mdiqa_mobile.statistics import (
    degraded_statistics,
    observed_photographs,
    observed_versions,
    scored_statistics,
)


def warm_start(scorer: MDIQA, run: Run) -> None:
    """Fits the statistics block and the fusion on statistics of the backbone as it is."""
    recipe = run.recipe
    statistics, numbers, whole = scored_statistics(scorer, run)
    degraded = degraded_statistics(scorer, run)
    fit_statistics(scorer, (statistics, numbers), run.scores, degraded, recipe, run.progress)
    versions, targets, _, matching = degraded
    seen, worse = seen_by_statistics(scorer, statistics), seen_by_statistics(scorer, versions)
    falls = matching_falls(targets, matching)
    # Random crops teach the dimensions; in the fit of the overall score they would cost .005 of SRCC.
    seen, scores = seen.where(whole), run.scores[numbers[whole]]
    fit_overall(scorer, seen, scores, worse, falls, recipe, recipe.warm_order)


def refit(scorer: MDIQA, run: Run) -> None:
    """Weighs the trained heads against the statistics block and fits the overall score once more, beside both."""
    recipe = run.recipe
    fixed = scorer.copy().freeze().fold()  # the same function, in half the time
    seen, numbers = observed_photographs(fixed, run)
    worse, targets, matching = observed_versions(fixed, run)
    updated = weigh_heads(scorer, seen, recipe.head_share)
    falls = matching_falls(targets, matching)
    fit_overall(scorer, updated(seen), run.scores[numbers], updated(worse), falls, recipe, recipe.refit_order)


def refit_overall(scorer: MDIQA, run: Run) -> None:
    """Fits the overall score once more to what a scorer sees that has been trained on; its dimensions stay."""
    recipe = dataclasses.replace(run.recipe, local_strength=1.0)  # it was made stronger in the first fit
    fixed = scorer.copy().freeze().fold()
    with TemporaryDirectory(dir=run.out) as folder:  # what another scorer saw may be stored in the run's own
        apart = dataclasses.replace(run, out=Path(folder))
        seen, numbers = observed_photographs(fixed, apart)
        worse, targets, matching = observed_versions(fixed, apart)
    falls = matching_falls(targets, matching)
    fit_overall(scorer, seen, run.scores[numbers], worse, falls, recipe, recipe.refit_order)
