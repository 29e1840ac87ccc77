"""The calibrations: each variant, without a quarter of the methods at a time, from several seeds; kept as scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from iqaloss._files import write_text
from iqaloss._progress import progress
from iqaloss.data.images import load_image
from iqaloss.ranking.calibration import calibration_recipe, write_ranking
from iqaloss.ranking.models import fit
from iqaloss.ranking.reading import read_votes
from iqaloss.scorers.factory import create_scorer
from iqaloss.training.engine.trainer import Trainer

SCORER = "mdiqa-mobile"
FOLDS = 4
AT_ONCE = 10


@dataclass(frozen=True)
class Variant:
    """A way to calibrate.

    Attributes:
        title: What tables call it.
        options: Options of :func:`iqaloss.ranking.calibration.calibration_recipe`.
        rated: Whether rated pictures teach beside the ranking.
    """

    title: str
    options: Mapping[str, Any] = field(default_factory=dict)
    rated: bool = False


VARIANTS: Mapping[str, Variant] = {
    "ranking": Variant("ranking alone (Model II)", {"batch_size": 4, "lr": 1e-2}),
    "one": Variant("batch of one (Model III)", {"batch_size": 1, "lr": 1e-2}),
    "everything": Variant("everything trained (Model IV)", {"batch_size": 4, "learns": "everything", "lr": 1e-4}),
    "rated": Variant("ranking and rated pictures (Eq. 6)", {"batch_size": 4, "lr": 1e-2}, rated=True),
}


@dataclass(frozen=True)
class Run:
    """One calibration: which variant, which methods it does not see, from which seed."""

    variant: str
    fold: int
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.variant}-{self.fold}-{self.seed}"


def folds(votes: Path) -> list[list[str]]:
    """Returns which methods each fold leaves out: every fourth down the ranking, so that each fold has good and bad."""
    ranking = fit(read_votes(votes))
    ordered = [ranking.methods[k] for k in ranking.order()]
    return [ordered[k::FOLDS] for k in range(FOLDS)]


def calibrate(run: Run, folder: Path, out: Path, steps: int, rated: tuple[Path, Path] | None) -> Path:
    """Calibrates without the fold's methods; returns the checkpoint."""
    votes = read_votes(folder / "votes.csv")
    left_out = folds(folder / "votes.csv")[run.fold]
    seen = [
        row
        for row in range(len(votes))
        if votes.methods[votes.first[row]] not in left_out and votes.methods[votes.second[row]] not in left_out
    ]
    ranking = fit(votes.take(seen))
    scores = {ranking.methods[k]: float(ranking.scores[k]) for k in ranking.order()}
    out.mkdir(parents=True, exist_ok=True)
    table = out / "ranking.csv"
    write_ranking(table, {name: score for name, score in scores.items() if name not in left_out})
    variant = VARIANTS[run.variant]
    data = {"rated": rated[0], "rated_images": rated[1]} if variant.rated and rated else {}
    recipe = calibration_recipe(
        SCORER, folder / "outputs", table, crop=96, steps=steps, seed=run.seed, **variant.options, **data
    )
    return Trainer(recipe, out, resume=(out / "state.pt").is_file(), bar=False, cpu=True).fit()


@torch.no_grad()
def scores_of(weights: Path | str, folder: Path, methods: Sequence[str], pictures: int) -> dict[str, list[float]]:
    """Scores every output: method to its scores, in the order of the pictures."""
    scorer = create_scorer(SCORER, weights).eval()
    found = {}
    for name in methods:
        files = [folder / "outputs" / name / f"{index:03}.png" for index in range(pictures)]
        some = [torch.stack([load_image(file) for file in files[k : k + AT_ONCE]]) for k in range(0, pictures, AT_ONCE)]
        found[name] = torch.cat([scorer(images).score for images in some]).tolist()
    return found


def run_all(
    teach: Path, judge: Path, methods: Sequence[str], pictures: int, out: Path, *,
    seeds: Sequence[int], steps: int, rated: tuple[Path, Path] | None, variants: Sequence[str],
) -> dict[str, dict[str, list[float]]]:  # fmt: skip
    """Runs what is not there yet; returns each run's scores of the pictures that judge, and those uncalibrated.

    Args:
        teach, judge: Folders with ``outputs`` and ``votes.csv``: what is learnt from, and what is measured on.
        methods: Names of the methods.
        pictures: How many pictures each has in ``judge``.
        out: Where runs are kept.
        seeds, steps: Of each calibration.
        rated: Table and images that people scored; without it the variants that need it are left out.
        variants: Names of the variants.
    """
    runs = [
        Run(variant, fold, seed)
        for seed in seeds
        for variant in variants
        if rated or not VARIANTS[variant].rated
        for fold in range(FOLDS)
    ]
    found = {}
    with progress("calibrating", len(runs) + 1) as advance:
        for done, run in enumerate([None, *runs], start=1):
            name = "uncalibrated" if run is None else run.name
            file = out / f"{name}.json"
            if not file.is_file():
                weights = "default" if run is None else calibrate(run, teach, out / name, steps, rated)
                write_text(file, json.dumps(scores_of(weights, judge, methods, pictures)))
            found[name] = json.loads(file.read_text(encoding="utf-8"))
            advance(done, note=name)
    return found
