"""The page and the numbers behind it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iqaloss._files import write_text
from iqaloss.evaluation.agreement.bootstrap import resamples
from iqaloss.evaluation.agreement.correlations import srcc
from iqaloss.ranking.agreement import by_scores, method_prior, oracle
from iqaloss.ranking.models import Ranking, fit
from iqaloss.ranking.reading import read_votes
from iqaloss.ranking.votes import Votes
from iqaloss.scorers.registry import entry
from studies.sr_ranking.calibrating import FOLDS, SCORER, VARIANTS, Run, folds

Floats = NDArray[np.float64]
Scores = Mapping[str, Sequence[float]]
GROUPS = ("methods seen", "a method unseen", "both unseen")
REPEATS = 2000


@dataclass(frozen=True)
class Trials:
    """What the pictures that judge ask, and how well something answers.

    Attributes:
        votes: Of those pictures.
        unseen: How many of a pair's two methods each fold left out, ``[folds, pairs]``.
        picture: Number of the picture of each pair.
    """

    votes: Votes
    unseen: NDArray[np.int64]
    picture: NDArray[np.int64]

    @classmethod
    def read(cls, path: Path, left_out: Sequence[Sequence[str]]) -> Trials:
        """Reads the votes."""
        votes = read_votes(path)
        trials, methods = votes.trials[0], np.array(votes.methods)
        out = [np.isin(methods, names) for names in left_out]
        unseen = np.array([each[trials.first].astype(int) + each[trials.second] for each in out])
        return cls(votes, unseen, np.unique(trials.images or (), return_inverse=True)[1])

    def credit(self, preference: Floats) -> Floats:
        """How far preferences agree with the votes on each pair: p q + (1 - p)(1 - q)."""
        share = self.votes.trials[0].won / self.votes.trials[0].total
        return np.asarray(share * preference + (1 - share) * (1 - preference))

    def of_scores(self, scores: Scores) -> Floats:
        """The same for scores of every method's pictures."""
        named = {f"{name}/{k:03}.png": value for name, values in scores.items() for k, value in enumerate(values)}
        return self.credit(by_scores(self.votes, named))


def means(trials: Trials, credit: Floats) -> Floats:
    """Mean credit of each group and picture ``[groups, pictures]``, over folds; ``credit`` is ``[folds, pairs]``."""
    pictures = int(trials.picture.max()) + 1
    found = np.zeros((len(GROUPS), pictures))
    for group in range(len(GROUPS)):
        inside = trials.unseen == group
        top = sum(np.bincount(trials.picture[i], c[i], pictures) for i, c in zip(inside, credit))
        bottom = sum(np.bincount(trials.picture[i], minlength=pictures) for i in inside)
        found[group] = top / bottom
    return found


def interval(differences: Floats) -> tuple[float, float, float]:
    """Mean and 95 % of a bootstrap over seeds and pictures; ``differences`` is ``[seeds, pictures]``."""
    seeds, pictures = differences.shape
    rng = np.random.default_rng(0)
    drawn = np.concatenate([
        differences[rng.integers(0, seeds, (len(rows), seeds))[:, :, None], rows[:, None, :]].mean((1, 2))
        for rows in resamples(pictures, REPEATS, 0)
    ])  # fmt: skip
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(differences.mean()), float(low), float(high)


def order_of_methods(scores: Scores, ranking: Ranking, names: Sequence[str]) -> float:
    """SRCC of methods' mean scores with the ranking."""
    return srcc([float(np.mean(scores[name])) for name in names], [ranking.scores[ranking.index(n)] for n in names])


def write(given: argparse.Namespace, teach: Path, judge: Path, found: Mapping[str, Scores]) -> None:
    """Writes ``sr_ranking.md`` and ``sr_ranking.json``."""
    left_out = folds(teach)
    trials = Trials.read(judge, left_out)
    taught, truth = fit(read_votes(teach)), fit(trials.votes)
    plain = np.tile(trials.of_scores(found["uncalibrated"]), (FOLDS, 1))
    base = means(trials, plain)
    rows: dict[str, dict[str, Any]] = {
        "oracle": _row(means(trials, np.tile(trials.credit(oracle(trials.votes)), (FOLDS, 1)))),
        "order of the methods, taught half": _row(
            means(trials, np.tile(trials.credit(method_prior(trials.votes, taught)), (FOLDS, 1)))
        ),
        "uncalibrated": {**_row(base), "order": order_of_methods(found["uncalibrated"], truth, truth.methods)},
    }
    worst: dict[str, dict[str, float]] = {}
    for name, variant in VARIANTS.items():
        runs = [[found.get(Run(name, fold, seed).name) for fold in range(FOLDS)] for seed in given.seeds]
        if any(run is None for seed in runs for run in seed):
            continue
        credit = np.array([[trials.of_scores(run or {}) for run in seed] for seed in runs])
        each = np.array([means(trials, one) for one in credit])
        gains = {group: interval(each[:, k] - base[k]) for k, group in enumerate(GROUPS)}
        order = np.mean([[order_of_methods(run or {}, truth, truth.methods) for run in seed] for seed in runs])
        rows[variant.title] = {**_row(each.mean(0)), "gains": gains, "order": float(order)}
        worst[variant.title] = _by_method(trials, credit - plain)
    own = {name: float(plain[0][_of(trials, name)].mean()) for name in trials.votes.methods}
    numbers = {"rows": rows, "methods": {"uncalibrated": own, **worst}, "folds": left_out}
    write_text(given.out / "sr_ranking.json", json.dumps(numbers, indent=1))
    write_text(given.out / "sr_ranking.md", "\n".join(_page(given, rows, own, worst, taught, truth, left_out)) + "\n")


def _row(values: Floats) -> dict[str, Any]:
    return dict(zip(GROUPS, map(float, values.mean(1))))


def _of(trials: Trials, name: str) -> NDArray[np.bool_]:
    seen, number = trials.votes.trials[0], trials.votes.methods.index(name)
    return np.asarray((seen.first == number) | (seen.second == number))


def _by_method(trials: Trials, gains: Floats) -> dict[str, float]:
    """What is gained on each method's pairs in the fold that left it out; ``gains`` is ``[seeds, folds, pairs]``."""
    found = {}
    for name in trials.votes.methods:
        pairs = _of(trials, name)
        fold = int(np.argmax(trials.unseen[:, pairs].min(1)))  # in its own fold each of its pairs has one at least
        found[name] = float(gains[:, fold, pairs].mean())
    return found


INTRODUCTION = """
`python -m studies.sr_ranking`: {methods} methods. {pictures} crops of {side} pixels teach, {pictures} others judge;
seeds {seeds}; {steps} steps each. Votes are those of LPIPS-VGG, LPIPS-Alex and a ViT, by distance to originals that the
scorer never sees; a judge has no vote on a method that was trained with one of its family. Each of {folds} folds leaves
out a quarter of the methods. What is calibrated is `{scorer}`.

2AFC on pictures that taught nothing; in brackets what is gained over the uncalibrated scorer, with 95 % of a bootstrap
over pictures and seeds. Order: SRCC of all methods' mean scores with their ranking by the votes.
"""
METHODS_TABLE = """
Each method: its score by the votes on either half; 2AFC of its pairs, uncalibrated; what is gained on them by the
calibrations that did not see it.
"""


def _page(
    given: argparse.Namespace, rows: Mapping[str, Mapping[str, Any]], own: Mapping[str, float],
    worst: Mapping[str, Mapping[str, float]], taught: Ranking, truth: Ranking, left_out: Sequence[Sequence[str]],
) -> Iterator[str]:  # fmt: skip
    yield "# A ranking of super-resolution methods teaches a scorer"
    finding = given.out / "sr_ranking_finding.md"
    if finding.is_file():
        yield "\n" + finding.read_text(encoding="utf-8").rstrip()
    yield INTRODUCTION.format(
        methods=len(own), pictures=given.pictures, side=given.side, steps=given.steps, folds=FOLDS,
        scorer=entry(SCORER).card.versioned, seeds=", ".join(map(str, given.seeds)),
    )  # fmt: skip
    yield "| | " + " | ".join(GROUPS) + " | order |"
    yield "|---|" + "---|" * (len(GROUPS) + 1)
    for title, row in rows.items():
        cells = [title, *(_cell(row, group) for group in GROUPS), f"{row['order']:.2f}" if "order" in row else ""]
        yield f"| {' | '.join(cells)} |"
    yield METHODS_TABLE
    yield "| method | taught half | judging half | uncalibrated | " + " | ".join(worst) + " | fold |"
    yield "|---|" + "---|" * (4 + len(worst))
    for k in truth.order():
        name = truth.methods[k]
        fold = next(number for number, names in enumerate(left_out) if name in names)
        cells = [name, f"{taught.scores[taught.index(name)]:.2f}", f"{truth.scores[k]:.2f}", f"{own[name]:.3f}"]
        cells += [f"{gains[name]:+.3f}" for gains in worst.values()]
        yield f"| {' | '.join(cells)} | {fold} |"


def _cell(row: Mapping[str, Any], group: str) -> str:
    value = f"{row[group]:.3f}"
    return f"{value} ({{:+.3f}}, {{:+.3f}} to {{:+.3f}})".format(*row["gains"][group]) if "gains" in row else value
