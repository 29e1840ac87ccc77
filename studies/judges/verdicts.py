"""How far candidates agree with people's scores and votes, with intervals; who has a say, and who has none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from iqaloss.evaluation.agreement.bootstrap import Interval, resamples
from iqaloss.evaluation.agreement.correlations import pair, row_srcc, srcc
from iqaloss.evaluation.agreement.metrics import measure
from iqaloss.ranking.agreement import agreement, by_scores, method_prior, oracle
from iqaloss.ranking.models import fit
from iqaloss.ranking.votes import Votes
from studies.judges.items import Item, Kept, said
from studies.judges.measures import CANDIDATES


@dataclass(frozen=True)
class Verdict:
    """How far one candidate agrees with people on one set.

    Attributes:
        n: Pictures, or pairs of them.
        values: Name of a measure to its value.
        ci: Name of a measure to its interval.
        chance: What the first measure would be by chance.
    """

    n: int
    values: Mapping[str, float]
    ci: Mapping[str, Interval] = field(default_factory=dict)
    chance: float = 0.0

    @property
    def main(self) -> str:
        """The measure that decides."""
        return next(iter(self.values))

    @property
    def word(self) -> str:
        """``"a say"`` where the whole interval of the first measure lies above chance, ``"against"`` where below."""
        low, high = self.ci.get(self.main, (-math.inf, math.inf))
        return "a say" if low > self.chance else "against" if high < self.chance else "no say"

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        ci = {name: [_plain(end) for end in ends] for name, ends in self.ci.items() if name in self.values}
        values = {name: _plain(value) for name, value in self.values.items()}
        return {"n": self.n, **values, "ci": ci, "verdict": self.word}


def _plain(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


Verdicts = dict[str, Verdict]
How = Callable[[Sequence[float], Sequence[float], int, int], Verdict]
CORRELATIONS = ("srcc", "plcc", "krcc")


def of_scores(pred: Sequence[float], human: Sequence[float], repeats: int, seed: int) -> Verdict:
    """Measures one candidate, or anything else, against scores."""
    found = measure(pred, human, repeats=repeats, seed=seed)
    return Verdict(found.n, {name: getattr(found, name) for name in CORRELATIONS}, found.ci)


def srcc_alone(pred: Sequence[float], human: Sequence[float], repeats: int, seed: int) -> Verdict:
    """Measures the rank correlation alone, which needs no resample on its own: there are many groups."""
    x, y = pair(pred, human)
    drawn = [row_srcc(x[rows], y[rows]) for rows in resamples(x.size, repeats, seed)] if repeats else []
    ends = np.nanquantile(np.concatenate(drawn), [0.025, 0.975]) if drawn else []
    ci = {"srcc": (float(ends[0]), float(ends[1]))} if len(ends) else {}
    return Verdict(x.size, {"srcc": srcc(x, y)}, ci)


def against_scores(items: Sequence[Item], kept: Kept, repeats: int, seed: int, how: How = of_scores) -> Verdicts:
    """Measures every candidate on the pictures that were measured."""
    there = said(items, kept)
    human = [item.score for item in there]
    names = [name for name in CANDIDATES if there and name in kept[there[0].key]]
    return {name: how([kept[item.key][name] for item in there], human, repeats, seed) for name in names}


def by_group(items: Sequence[Item], kept: Kept, what: str, repeats: int, seed: int) -> dict[str, Verdicts]:
    """Measures every candidate within each group, in the order of the items."""
    groups = dict.fromkeys(item.groups[what] for item in said(items, kept))
    return {
        group: against_scores([item for item in items if item.groups[what] == group], kept, repeats, seed, srcc_alone)
        for group in groups
    }


def against_votes(votes: Votes, kept: Kept, repeats: int, seed: int) -> Verdicts:
    """Measures every candidate on votes, and beside them the majority and one who knows the methods' names alone."""
    names = [name for name in CANDIDATES if name in kept[votes.seen[0][0]]]
    chosen = {
        "oracle": oracle(votes),
        "names": method_prior(votes, fit(votes.counts(), methods=votes.methods, prior_sd="auto")),
        **{name: by_scores(votes, {key: values[name] for key, values in kept.items()}) for name in names},
    }
    found = {}
    for name, preference in chosen.items():
        one = agreement(votes, preference, name, repeats=repeats, seed=seed)[0]
        ci = {"two_afc": one.intervals["images"]} if "images" in one.intervals else {}
        found[name] = Verdict(one.pairs, {"two_afc": one.two_afc}, ci, chance=0.5)
    return found
