"""How far scores would move with other votes, other pictures or other people: intervals by the bootstrap."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from iqaloss._errors import check_choice
from iqaloss.evaluation.agreement.bootstrap import CELLS
from iqaloss.ranking.models import Ranking, fit
from iqaloss.ranking.votes import Floats, Ints, Votes

UNITS = ("votes", "images", "subjects")
"""What can be drawn again: votes among those on the same two methods; images, or subjects, with all votes of theirs."""


def known_units(votes: Votes) -> list[str]:
    """Returns those of :data:`UNITS` of which the votes name at least two.

    Example:
        >>> from iqaloss.ranking.votes import make_votes
        >>> known_units(make_votes(["A", "A"], ["B", "B"], [[3, 1], [1, 2]], images=["x", "y"]))
        ['votes', 'images']
    """
    columns = {"images": votes.images, "subjects": votes.subjects}
    return [unit for unit in UNITS if unit == "votes" or len(set(columns[unit] or ())) > 1]


def drawn_sums(
    votes: Votes, over: str, columns: Ints, values: Floats, width: int, repeats: int, seed: int
) -> Iterator[Floats]:
    """Yields blocks of resamples of ``"images"`` or ``"subjects"``: sums of their rows' values, ``[block, width]``.

    Each row of the votes has k values, ``[k * rows]``; ``columns`` tells which of the ``width`` sums each belongs to.

    Example:
        >>> from iqaloss.ranking.votes import make_votes
        >>> votes = make_votes(["A", "A"], ["B", "B"], [[3, 1], [1, 2]], images=["x", "y"])
        >>> block, = drawn_sums(votes, "images", np.array([0, 0]), votes.won, 1, repeats=3, seed=0)  # A's wins
        >>> block.shape, bool(((block >= 2) & (block <= 6)).all())
        ((3, 1), True)
    """
    from scipy.sparse import coo_array

    if over not in known_units(votes):
        raise ValueError(f"{votes.source} does not name at least two {over}: no interval over {over} can be had")
    units = np.unique(np.array(votes.images if over == "images" else votes.subjects), return_inverse=True)[1]
    count, units = int(units.max()) + 1, np.tile(units, len(values) // len(votes))
    table = coo_array((values, (columns, units)), shape=(width, count)).tocsr()
    generator = np.random.default_rng(seed)
    block = max(1, CELLS // max(count, width))
    for start in range(0, repeats, block):
        drawn = generator.multinomial(count, np.full(count, 1 / count), size=min(block, repeats - start))
        yield np.asarray((table @ drawn.T).T)


def percentiles(values: Floats, level: float) -> Floats:
    """Returns the ends of the intervals of values ``[repeats, ...]``, ``[2, ...]``.

    Example:
        >>> percentiles(np.arange(101.0), 0.9).round(6).tolist()
        [5.0, 95.0]
    """
    if not 0 < level < 1 or not len(values):
        raise ValueError(f"need a level between 0 and 1 and at least one resample, got {level} and {len(values)}")
    return np.asarray(np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0), np.float64)


def bootstrap(
    votes: Votes, ranking: Ranking, over: str = "votes", *, repeats: int = 1000, level: float = 0.95, seed: int = 0
) -> Floats:
    """Returns percentile intervals of a ranking's scores, ``[methods, 2]``.

    Args:
        votes, ranking: Votes, and what :func:`~iqaloss.ranking.models.fit` made of them.
        over: What is drawn again, one of :data:`UNITS`.
        repeats, seed: Number of resamples; one without a finite optimum gets the weak prior of ``fit``. Their seed.
        level: Share of the resamples inside the interval.

    Example:
        >>> from iqaloss.ranking.votes import make_votes
        >>> votes = make_votes(["A"], ["B"], [[30, 10]])
        >>> spans = bootstrap(votes, ranking := fit(votes), repeats=100)
        >>> bool(((spans[:, 0] < ranking.scores) & (ranking.scores < spans[:, 1])).all())
        True
    """
    count = len(votes.methods)
    places = np.concatenate([votes.first * count + votes.second, votes.second * count + votes.first])
    if check_choice("over", over, UNITS) == "votes":
        draws = _drawn_votes(votes, repeats, seed)
    else:
        values = np.concatenate([votes.won, votes.total - votes.won])
        draws = drawn_sums(votes, over, places, values, count**2, repeats, seed)
    prior: float | str = "auto" if ranking.prior_sd is None else ranking.prior_sd
    counts = (one.reshape(count, count) for block in draws for one in block)
    fits = (fit(one, ranking.model, methods=votes.methods, prior_sd=prior, start=ranking.scores) for one in counts)
    return percentiles(np.array([one.scores for one in fits]), level).T


def _drawn_votes(votes: Votes, repeats: int, seed: int) -> Iterator[Floats]:
    trials = votes.trials[0]
    pairs, row = np.unique(np.stack([trials.first, trials.second]), axis=1, return_inverse=True)
    cast = np.zeros((pairs.shape[1], 3))
    np.add.at(cast, row.reshape(-1), trials.cast)
    total, generator = cast.sum(1), np.random.default_rng(seed)
    for _ in range(repeats):
        drawn = generator.multinomial(total.astype(np.int64), cast / total[:, None])
        counts = np.zeros((1, len(votes.methods), len(votes.methods)))
        counts[0, pairs[0], pairs[1]] = drawn[:, 0] + drawn[:, 2] / 2
        counts[0, pairs[1], pairs[0]] = drawn[:, 1] + drawn[:, 2] / 2
        yield counts
