"""Which methods are better, by votes: Thurstone's model (Eq. 2 of the SR-IQA paper) and Bradley and Terry's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from iqaloss._errors import check_choice, missing_package, shown
from iqaloss.ranking.votes import Floats, Votes

try:
    from scipy.sparse.csgraph import connected_components
    from scipy.special import expit, log_ndtr
except ImportError as error:
    raise missing_package("scipy", "train", "ranking methods") from error

PRIOR_SD = 2.0  # of the weak prior, in standard deviations of Thurstone's noise


@dataclass(frozen=True)
class Link:
    """How a difference of scores becomes ``log p(d)``, with two derivatives; so many units are one of Thurstone's."""

    log: Callable[[Floats], Floats]
    slopes: Callable[[Floats], tuple[Floats, Floats]]
    unit: float


def _normal(d: Floats) -> tuple[Floats, Floats]:
    slope = np.exp(-(d**2) / 2 - np.log(2 * np.pi) / 2 - log_ndtr(d))  # accurate where density and distribution vanish
    return slope, -slope * (d + slope)


LINKS = {
    "thurstone": Link(log_ndtr, _normal, 1.0),
    "bradley-terry": Link(lambda d: -np.logaddexp(0, -d), lambda d: (expit(-d), -expit(d) * expit(-d)), 1.702),
}
"""Thurstone: ``p(d) = Phi(d)``, as Eq. 2 has it, without a root of two. Bradley-Terry: ``p(d) = 1 / (1 + exp(-d))``."""


@dataclass(frozen=True)
class Ranking:
    """Scores of methods; they add up to zero.

    Attributes:
        model, methods, scores: What was fitted, the names of the methods, and their scores, higher is better.
        covariance: Covariance of the scores: the inverse of the observed information among scores that add up to zero.
        prior_sd: Standard deviation of the prior on each score; None where the votes alone decide.
        note: What the reader must know, such as why there is a prior; empty otherwise.
    """

    model: str
    methods: tuple[str, ...]
    scores: Floats
    covariance: Floats
    prior_sd: float | None = None
    note: str = ""

    @property
    def se(self) -> Floats:
        """Standard errors, for scores that add up to zero."""
        return np.sqrt(np.diag(self.covariance).clip(0))

    def index(self, method: str) -> int:
        """Returns the number of a method; a ValueError with the nearest name where there is no such method."""
        return self.methods.index(check_choice("method", method, self.methods))

    def probability(self, first: str, second: str) -> float:
        """Returns how likely a vote is for the first of two methods."""
        gap = self.scores[self.index(first)] - self.scores[self.index(second)]
        return float(np.exp(LINKS[self.model].log(gap)))

    def order(self) -> list[int]:
        """Returns the numbers of the methods, the best first."""
        return np.argsort(-self.scores, kind="stable").tolist()


def log_likelihood(counts: Floats, scores: Floats, model: str = "thurstone") -> float:
    """Eq. 2: ``sum_ij C_ij log p(mu_i - mu_j)``.

    Example:
        >>> round(log_likelihood(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([0.0, 0.0])), 4)  # log 0.5
        -0.6931
    """
    return float((counts * LINKS[model].log(scores[:, None] - scores[None, :])).sum())


def derivatives(counts: Floats, scores: Floats, model: str = "thurstone") -> tuple[Floats, Floats]:
    """Returns the exact gradient and Hessian of :func:`log_likelihood`.

    Example:
        >>> gradient, hessian = derivatives(np.array([[0.0, 2.0], [1.0, 0.0]]), np.array([0.0, 0.0]))
        >>> gradient.round(4).tolist(), hessian.sum(1).tolist()
        ([0.7979, -0.7979], [0.0, 0.0])
    """
    slope, bend = (counts * each for each in LINKS[model].slopes(scores[:, None] - scores[None, :]))
    bend = bend + bend.T
    return slope.sum(1) - slope.sum(0), np.diag(bend.sum(1)) - bend


def fit(
    votes: Votes | Floats, model: str = "thurstone", *, prior_sd: float | str | None = "auto",
    methods: tuple[str, ...] | None = None, start: Floats | None = None,
) -> Ranking:  # fmt: skip
    """Fits scores of methods to votes: maximum likelihood, by Newton's method with exact derivatives.

    Votes have a finite optimum when, whichever way the methods are split in two, either side has won a vote. Where
    they have not (a method that won always, or methods that were never compared), ``"auto"`` puts a normal prior with
    mean 0 and standard deviation :data:`PRIOR_SD` on each score, and says so in the result's note.

    Args:
        votes, methods: Votes, whose ties count half a vote for either; or a matrix C of counts, and names for it.
        model: ``"thurstone"`` or ``"bradley-terry"``.
        prior_sd: ``"auto"``, the standard deviation of a prior in any case, or None for the votes alone.
        start: Scores to begin with.

    Example:
        >>> ranking = fit(np.array([[0.0, 3.0], [1.0, 0.0]]), methods=("A", "B"))
        >>> ranking.scores.round(4), round(ranking.probability("A", "B"), 4)
        (array([ 0.3372, -0.3372]), 0.75)
    """
    counts = votes.counts() if isinstance(votes, Votes) else np.asarray(votes, np.float64)
    names = votes.methods if isinstance(votes, Votes) else methods or tuple(map(str, range(len(counts))))
    unit = LINKS[check_choice("model", model, LINKS)].unit
    if counts.shape != (len(names), len(names)) or len(names) < 2:
        raise ValueError(f"need votes between at least two methods, got {len(names)} names and counts {counts.shape}")
    if not (np.isfinite(counts) & (counts >= 0)).all() or counts.diagonal().any():
        raise ValueError("counts must be finite, at least 0, and 0 for a method against itself")
    note = _why_no_optimum(counts, names)
    if note and prior_sd is None:
        raise ValueError(f"the votes have no finite optimum: {note}; allow a prior")
    if prior_sd == "auto":
        prior_sd = PRIOR_SD * unit if note else None
        note = note and f"{note}; so each score has a normal prior with standard deviation {prior_sd:g}"
    if prior_sd is not None and (isinstance(prior_sd, str) or not prior_sd > 0):
        raise ValueError(f"prior_sd must be 'auto', None or above 0, got {shown(prior_sd)}")
    scores, information = _newton(counts, model, prior_sd, np.zeros(len(names)) if start is None else start)
    centre = np.eye(len(names)) - 1 / len(names)
    covariance = centre @ np.linalg.inv(information + 1 / len(names)) @ centre
    return Ranking(model, names, scores, covariance, prior_sd, note)


def _newton(counts: Floats, model: str, prior_sd: float | None, scores: Floats) -> tuple[Floats, Floats]:
    """Returns the optimum with sum zero, and the information there."""
    precision = 0.0 if prior_sd is None else prior_sd**-2

    def height(scores: Floats) -> float:
        return log_likelihood(counts, scores, model) - precision * float(scores @ scores) / 2

    scores = scores - scores.mean()
    for _ in range(100):
        gradient, hessian = derivatives(counts, scores, model)
        information = precision * np.eye(len(scores)) - hessian
        # A constant added to all scores changes nothing: the term 1/n makes that direction regular, and unmoved.
        step = np.linalg.solve(information + 1 / len(scores), gradient - precision * scores)
        if np.abs(step).max() < 1e-10:
            return scores, information
        least = height(scores) * (1 + 1e-12)  # logarithms are below 0: this much rounding is allowed
        length = next((2.0**-halved for halved in range(40) if height(scores + step / 2**halved) >= least), 0.0)
        scores = scores + length * (step - step.mean())
    raise ArithmeticError("the scores did not settle in 100 steps")


def _why_no_optimum(counts: Floats, names: tuple[str, ...]) -> str:
    """Says why the likelihood has no finite optimum; empty where it has one (Ford, 1957)."""
    groups, apart = (connected_components(counts > 0, connection=how)[1] for how in ("strong", "weak"))

    def told(inside: Floats) -> str:
        return " ".join(name for name, taken in zip(names, inside) if taken)

    if apart.max() > 0:
        listed = " | ".join(told(apart == group) for group in range(apart.max() + 1))
        return f"no votes connect the groups {listed}, whose scores cannot be compared with each other"
    if groups.max() == 0:
        return ""
    split = (groups == group for group in range(groups.max() + 1))
    ahead = next(inside for inside in split if not counts[~inside][:, inside].any())
    return f"every vote against the others was won by {told(ahead)}"
