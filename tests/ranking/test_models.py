"""Thurstone's and Bradley and Terry's models: published numbers, recovery, laws and degenerate votes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize
from scipy.stats import norm, spearmanr

from iqaloss.ranking.models import LINKS, PRIOR_SD, derivatives, fit, log_likelihood
from iqaloss.ranking.reading import read_votes
from iqaloss.ranking.resampling import bootstrap
from iqaloss.ranking.votes import Votes, make_votes

PUBLISHED = {
    "SeeSR": 0.7439, "ResShift": 0.5075, "SinSR": 0.4106, "DiffBIR": 0.2681, "StableSR": 0.2068, "USRGAN": 0.0110,
    "DASR": -0.0475, "Real-ESRGAN": -0.1365, "LDL": -0.2750, "BSRGAN": -0.3762, "FeMaSR": -0.4158, "RGT": -0.8970,
}  # fmt: skip


def simulated(truth: np.ndarray, votes: int, seed: int) -> np.ndarray:
    """Counts of votes on every pair, drawn from Thurstone's model."""
    generator, count = np.random.default_rng(seed), len(truth)
    counts = np.zeros((count, count))
    for i, j in zip(*np.triu_indices(count, 1)):
        counts[i, j] = generator.binomial(votes, norm.cdf(truth[i] - truth[j]))
        counts[j, i] = votes - counts[i, j]
    return counts


@pytest.fixture
def counts() -> np.ndarray:
    return simulated(np.array([0.6, 0.2, -0.1, -0.7]), 40, seed=0)


def test_realsr1k_gives_the_published_ranking(shared: Path) -> None:
    ranking = fit(read_votes(shared / "data" / "realsr1k_votes.csv"))
    found = {ranking.methods[k]: round(float(ranking.scores[k]), 4) for k in ranking.order()}
    assert found == PUBLISHED
    assert list(found) == list(PUBLISHED)
    assert ranking.prior_sd is None
    assert ranking.note == ""


def test_realsr1k_halves_correlate_with_the_whole(shared: Path) -> None:
    votes = read_votes(shared / "data" / "realsr1k_votes.csv")
    whole = fit(votes).scores
    for group, wanted in (("mad", 0.965), ("mid", 0.951)):
        half = fit(votes.take(k for k in range(len(votes)) if (votes.groups or ())[k] == group)).scores
        assert round(float(spearmanr(half, whole).statistic), 3) == wanted


@pytest.mark.parametrize("model", LINKS)
def test_derivatives_are_exact(model: str, counts: np.ndarray) -> None:
    at = np.array([3.0, 0.1, -0.3, -9.0])  # far out too, where the normal distribution vanishes
    assert check_grad(lambda s: log_likelihood(counts, s, model), lambda s: derivatives(counts, s, model)[0], at) < 1e-3
    hessian = derivatives(counts, at, model)[1]
    for k, unit in enumerate(1e-5 * np.eye(4)):
        slope = derivatives(counts, at + unit, model)[0] - derivatives(counts, at - unit, model)[0]
        np.testing.assert_allclose(hessian[k], slope / 2e-5, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", LINKS)
def test_the_optimum_is_that_of_a_general_optimizer(model: str, counts: np.ndarray) -> None:
    general = minimize(lambda s: -log_likelihood(counts, s, model), np.zeros(4), tol=1e-10).x
    np.testing.assert_allclose(fit(counts, model).scores, general - general.mean(), atol=1e-4)
    np.testing.assert_allclose(derivatives(counts, fit(counts, model).scores, model)[0], 0, atol=1e-8)


def test_two_methods_have_a_closed_form() -> None:
    ranking = fit(np.array([[0.0, 30.0], [10.0, 0.0]]), "bradley-terry")
    assert ranking.scores[0] - ranking.scores[1] == pytest.approx(np.log(3))
    # The difference has variance 1 / (n p q), and each score is half of it.
    np.testing.assert_allclose(ranking.se, np.sqrt(1 / (40 * 0.75 * 0.25)) / 2)


def test_known_scores_are_recovered_and_intervals_cover_them() -> None:
    truth = np.array([0.9, 0.4, 0.1, -0.2, -0.4, -0.8])
    inside = []
    for seed in range(120):
        ranking = fit(simulated(truth, 60, seed))
        inside.append(np.abs(ranking.scores - truth) < 1.96 * ranking.se)
    assert np.mean(inside) == pytest.approx(0.95, abs=0.025)
    np.testing.assert_allclose(fit(simulated(truth, 200_000, 0)).scores, truth, atol=0.01)


def test_intervals_over_votes_cover_known_scores() -> None:
    truth, names = np.array([0.5, 0.1, -0.6]), "ABC"
    inside = []
    for seed in range(24):
        counts = simulated(truth, 80, seed)
        i, j = np.triu_indices(3, 1)
        votes = make_votes([names[k] for k in i], [names[k] for k in j], np.stack([counts[i, j], counts[j, i]], 1))
        spans = bootstrap(votes, fit(votes), repeats=80, seed=seed)
        inside.append((spans[:, 0] <= truth) & (truth <= spans[:, 1]))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.08)


def image_votes(effect: float, seed: int) -> Votes:
    """Votes on two equal methods where each picture favours one of them, the same for everybody."""
    generator = np.random.default_rng(seed)
    rows = [(k, generator.normal(0, effect)) for k in range(40)]
    cast = [(won := generator.binomial(20, norm.cdf(lean)), 20 - won) for _, lean in rows]
    return make_votes(["A"] * 40, ["B"] * 40, cast, images=[str(k) for k, _ in rows])


def test_pictures_that_people_agree_on_widen_the_interval_over_images_alone() -> None:
    votes = image_votes(1.0, 0)
    ranking = fit(votes)
    over_votes, over_images = (np.ptp(bootstrap(votes, ranking, unit, repeats=300)[0]) for unit in ("votes", "images"))
    assert over_votes == pytest.approx(4 * 0.98 * ranking.se[0], rel=0.15)
    assert over_images > 1.8 * over_votes


def test_resamples_are_those_of_the_seed() -> None:
    votes = image_votes(1.0, 0)
    ranking = fit(votes)
    for unit in ("votes", "images"):
        first, again, other = (bootstrap(votes, ranking, unit, repeats=50, seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert (first != other).any()


@pytest.mark.parametrize("model", LINKS)
def test_other_names_and_another_order_change_nothing(model: str, counts: np.ndarray) -> None:
    order = np.array([2, 0, 3, 1])
    base, moved = fit(counts, model), fit(counts[np.ix_(order, order)], model)
    np.testing.assert_allclose(moved.scores, base.scores[order], atol=1e-9)
    np.testing.assert_allclose(moved.se, base.se[order], atol=1e-9)


@pytest.mark.parametrize("model", LINKS)
def test_a_tie_is_a_vote_for_either_side(model: str) -> None:
    first, second, cast = ["A", "B", "A"], ["B", "C", "C"], [(7, 3), (6, 4), (9, 2)]
    ties = make_votes([*first, "A"], [*second, "B"], [*((*c, 0) for c in cast), (0, 0, 2)])
    both = make_votes([*first, "A", "A"], [*second, "B", "B"], [*cast, (1, 0), (0, 1)])
    np.testing.assert_allclose(fit(ties, model).scores, fit(both, model).scores)
    before = fit(make_votes(first, second, cast), model)
    assert abs(fit(ties, model).scores[0] - fit(ties, model).scores[1]) < abs(before.scores[0] - before.scores[1])


@pytest.mark.parametrize("model", LINKS)
def test_scores_add_up_to_zero_and_twice_the_votes_halve_the_variance(model: str, counts: np.ndarray) -> None:
    once, twice = fit(counts, model), fit(2 * counts, model)
    assert abs(once.scores.sum()) < 1e-12
    np.testing.assert_allclose(once.scores, twice.scores, atol=1e-9)
    np.testing.assert_allclose(once.covariance, 2 * twice.covariance, atol=1e-9)


@pytest.mark.parametrize("model", LINKS)
def test_unanimous_votes_get_a_stated_prior(model: str) -> None:
    counts = np.array([[0.0, 23, 20], [0, 0, 12], [0, 11, 0]])
    ranking = fit(counts, model, methods=("A", "B", "C"))
    assert ranking.prior_sd == PRIOR_SD * LINKS[model].unit
    assert "every vote against the others was won by A" in ranking.note
    assert ranking.order() == [0, 1, 2]
    assert np.isfinite(ranking.scores).all()
    assert np.isfinite(ranking.se).all()
    assert ranking.probability("A", "B") > 0.95
    assert abs(ranking.scores.sum()) < 1e-12
    with pytest.raises(ValueError, match="no finite optimum"):
        fit(counts, model, prior_sd=None)


def test_methods_that_were_never_compared_are_told() -> None:
    votes = make_votes(["A", "C"], ["B", "D"], [(8, 2), (5, 5)])
    ranking = fit(votes)
    assert "no votes connect the groups A B | C D" in ranking.note
    np.testing.assert_allclose(ranking.scores[:2].sum(), 0, atol=1e-9)
    assert ranking.se[2] > 0.5
    with pytest.raises(ValueError, match="no votes connect"):
        fit(votes, prior_sd=None)


def test_a_wide_prior_approaches_the_votes_alone(counts: np.ndarray) -> None:
    np.testing.assert_allclose(fit(counts, prior_sd=1e4).scores, fit(counts).scores, atol=1e-6)
    assert np.abs(fit(counts, prior_sd=0.1).scores).max() < np.abs(fit(counts).scores).max()


def test_a_resample_without_an_optimum_does_not_stop_the_others() -> None:
    votes = make_votes(["A", "A"], ["B", "B"], [(5, 0), (0, 1)], images=["x", "y"])
    assert np.isfinite(bootstrap(votes, fit(votes), "images", repeats=20)).all()


def test_a_billion_votes_are_no_trouble() -> None:
    ranking = fit(np.array([[0.0, 1e9, 5e8], [1.0, 0, 1e9], [5e8, 2e9, 0]]))
    np.testing.assert_allclose(derivatives(np.array([[0.0, 1e9, 5e8], [1.0, 0, 1e9], [5e8, 2e9, 0]]), ranking.scores)[0]
                               / 1e9, 0, atol=1e-9)  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "options", "told"),
    [
        (np.zeros((1, 1)), {}, "at least two methods"),
        (np.ones((2, 3)), {}, "at least two methods"),
        (np.ones((2, 2)), {}, "against itself"),
        (np.array([[0, np.nan], [1, 0]]), {}, "finite"),
        (np.array([[0, 1], [1, 0]]), {"model": "thurston"}, "did you mean 'thurstone'"),
        (np.array([[0, 1], [1, 0]]), {"prior_sd": -1.0}, "above 0"),
        (np.array([[0, 1], [1, 0]]), {"prior_sd": "weak"}, "prior_sd must be"),
    ],
)
def test_what_cannot_be_ranked_is_told(counts: np.ndarray, options: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        fit(counts, **options)


def test_an_unknown_method_and_missing_units_are_told() -> None:
    votes = make_votes(["SeeSR"], ["RGT"], [(3, 1)])
    ranking = fit(votes)
    with pytest.raises(ValueError, match="did you mean 'SeeSR'"):
        ranking.probability("SeSR", "RGT")
    with pytest.raises(ValueError, match="does not name at least two images"):
        bootstrap(votes, ranking, "images")
    with pytest.raises(ValueError, match="unknown over"):
        bootstrap(votes, ranking, "people")
    with pytest.raises(ValueError, match="at least one resample"):
        bootstrap(votes, ranking, repeats=0)
    with pytest.raises(ValueError, match="level"):
        bootstrap(votes, ranking, level=95, repeats=5)
