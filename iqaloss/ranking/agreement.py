"""Who agrees with the votes: the 2AFC score of scorers and losses, beside what people and a prior reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from iqaloss.data.images import load_image
from iqaloss.data.sources import Folder
from iqaloss.evaluation.agreement.bootstrap import Interval
from iqaloss.evaluation.agreement.correlations import pair
from iqaloss.ranking.models import Ranking
from iqaloss.ranking.resampling import drawn_sums, known_units, percentiles
from iqaloss.ranking.votes import Floats, Votes


def preferences(first: ArrayLike, second: ArrayLike) -> Floats:
    """Returns q: 1 where the first score of a pair is higher, 0 where the second is, one half where they are equal.

    Example:
        >>> preferences([3, 1, 2], [1, 3, 2]).tolist()
        [1.0, 0.0, 0.5]
    """
    a, b = pair(first, second)
    return np.asarray((np.sign(a - b) + 1) / 2, np.float64)


def two_afc_votes(preference: ArrayLike, share: ArrayLike) -> float:
    """2AFC score against votes: the mean of ``p q + (1 - p)(1 - q)``, with p the share of votes for the first image.

    Example:
        >>> two_afc_votes([1.0, 0.0], [0.75, 0.5])
        0.625
    """
    q, p = pair(preference, share)
    for name, values in (("preference", q), ("share", p)):
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError(f"{name} must be in [0, 1], got values from {values.min():g} to {values.max():g}")
    return float(np.mean(p * q + (1 - p) * (1 - q)))


@dataclass(frozen=True)
class Agreement:
    """How well something agrees with votes.

    Attributes:
        name, group: What was compared with the votes, and which of them; empty for all.
        pairs, tied: Number of pairs of images, and on how many there is no preference; those count one half.
        two_afc: The 2AFC score: the mean over the pairs, each counted once.
        intervals: ``"images"`` and ``"subjects"``, where the votes name them, to the interval when those are drawn.
    """

    name: str
    group: str
    pairs: int
    tied: int
    two_afc: float
    intervals: Mapping[str, Interval]


def agreement(
    votes: Votes, preference: Floats, name: str = "scores", *, repeats: int = 1000, level: float = 0.95, seed: int = 0
) -> list[Agreement]:
    """Measures how far preferences agree with votes: on all of them, then within each group.

    Args:
        preference, name: q for each of ``votes.trials``, and what to call it.
        repeats, seed, level: Resamples for the intervals (0 for none), their seed, and the share of them inside.

    Example:
        >>> from iqaloss.ranking.votes import make_votes
        >>> votes = make_votes(["A", "A"], ["B", "B"], [[3, 1], [1, 1]], images=["x", "y"])
        >>> agreement(votes, np.array([1.0, 0.0]), repeats=0)[0].two_afc
        0.625
    """
    found, groups = [], sorted(set(votes.groups or ()))
    for group in ["", *(groups if len(groups) > 1 else ())]:
        rows = [row for row in range(len(votes)) if not group or (votes.groups or ())[row] == group]
        inside = votes.take(rows) if group else votes
        trials, q = inside.trials[0], preference[np.unique(votes.trials[1][rows])]
        value = two_afc_votes(q, trials.won / trials.total)
        spans = {unit: _interval(inside, q, unit, repeats, level, seed) for unit in known_units(inside)[1:] if repeats}
        found.append(Agreement(name, group, len(trials), int((q == 0.5).sum()), value, spans))
    return found


def _interval(votes: Votes, preference: Floats, over: str, repeats: int, level: float, seed: int) -> Interval:
    trials, trial_of = votes.trials
    won = np.where(votes.first == trials.first[trial_of], votes.won, votes.total - votes.won)
    q, count = preference[trial_of], len(trials)
    agreed = won * q + (votes.total - won) * (1 - q)
    if over == "images":  # an image brings its pairs whole, each counted once
        parts = [agreed / trials.total[trial_of], votes.total / trials.total[trial_of]]
        columns, width = np.repeat([0, 1], len(votes)), 2
    else:  # a subject brings votes: the share on each pair is that of the subjects drawn
        parts, columns, width = [agreed, votes.total], np.concatenate([trial_of, trial_of + count]), 2 * count
    means = []
    for block in drawn_sums(votes, over, columns, np.concatenate(parts), width, repeats, seed):
        top, bottom = block[:, : width // 2], block[:, width // 2 :]
        seen = bottom > 0  # a pair that nobody among those drawn has seen does not count
        shares = np.divide(top, bottom, out=np.zeros_like(top), where=seen)
        means.append(shares.sum(1) / seen.sum(1))
    low, high = percentiles(np.concatenate([[], *means]), level)
    return float(low), float(high)


def oracle(votes: Votes) -> Floats:
    """Preferences of the majority on each trial: no scores can agree better.

    Example:
        >>> from iqaloss.ranking.votes import make_votes
        >>> oracle(make_votes(["A", "A"], ["B", "B"], [[3, 1], [1, 2]], images=["x", "y"])).tolist()
        [1.0, 0.0]
    """
    trials = votes.trials[0]
    return preferences(trials.won, trials.total - trials.won)


def method_prior(votes: Votes, ranking: Ranking) -> Floats:
    """Preferences of one who knows the methods' names alone, and takes the better one by a ranking.

    Example:
        >>> from iqaloss.ranking.models import fit
        >>> from iqaloss.ranking.votes import make_votes
        >>> votes = make_votes(["A", "A"], ["B", "B"], [[3, 1], [1, 2]], images=["x", "y"])
        >>> method_prior(votes, fit(votes)).tolist()
        [1.0, 1.0]
    """
    scores = np.array([ranking.scores[ranking.index(name)] for name in votes.methods])
    scores = scores.round(9)  # methods that are equal but for rounding are equal
    return preferences(scores[votes.trials[0].first], scores[votes.trials[0].second])


def by_scores(votes: Votes, scores: Mapping[str, float]) -> Floats:
    """Preferences by scores of the images that people saw, named as the votes name them; higher is better.

    Example:
        >>> from iqaloss.ranking.votes import make_votes
        >>> votes = make_votes(["A"], ["B"], [[3, 1]], images=["x"], outputs=[("A/x.png", "B/x.png")])
        >>> by_scores(votes, {"A/x.png": 0.2, "B/x.png": 0.7}).tolist()
        [0.0]
    """
    seen = votes.seen
    names = {name for both in seen for name in both}
    missing = sorted(names - set(scores))
    if missing:
        raise ValueError(f"{len(missing)} of {len(names)} images of {votes.source} have no score: {missing[0]}, ...")
    return preferences(*([scores[both[side]] for both in seen] for side in (0, 1)))


@torch.no_grad()
def score_images(
    votes: Votes, images: str | Path, score: Callable[..., Tensor], references: str | Path | None = None
) -> dict[str, float]:
    """Scores the images that people saw, one at a time.

    Args:
        votes: Votes that name their images.
        images, references: Folder of them, and perhaps one of their originals, named as the votes' pictures are.
        score: From an image ``[1, 3, H, W]``, or from an image and its original, to a score; higher is better.

    Example:
        >>> from iqaloss.ranking.reading import read_votes
        >>> score_images(read_votes("votes.csv"), "outputs", lambda image: image.mean())  # doctest: +SKIP
        {'A/x.png': 0.48, 'B/x.png': 0.51}
    """
    roots = [Path(folder) for folder in (images, references) if folder is not None]
    folders = [_by_name(root) for root in roots]
    pictures = {name: picture for both, picture in zip(votes.seen, votes.trials[0].images or ()) for name in both}
    found: dict[str, float] = {}
    for name, picture in pictures.items():
        for wanted, files, root in zip((name, picture), folders, roots):
            if wanted not in files:
                raise FileNotFoundError(f"no image {wanted} in {root}")
        inputs = (files[wanted] for wanted, files in zip((name, picture), folders))
        found[name] = float(score(*(load_image(file)[None] for file in inputs)))
    return found


def _by_name(root: Path) -> dict[str, Path]:
    """Images below a folder by their path and name, with and without suffix; what is nearer the top goes first."""
    if not root.is_dir():
        raise FileNotFoundError(f"no folder of images at {root}")
    paths = sorted((PurePosixPath(item.key) for item in Folder(root)), key=lambda path: -len(path.parts))
    forms = ((path, (path.stem, path.name, str(path.with_suffix("")), str(path))) for path in paths)
    return {name: root / path for path, names in forms for name in names}
