"""Correlations, the logistic fit, confidence intervals, tables and plots."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from iqaloss.evaluation import measure
from iqaloss.evaluation.agreement.bootstrap import confidence_intervals
from iqaloss.evaluation.agreement.correlations import krcc, plcc, srcc, two_afc
from iqaloss.evaluation.agreement.logistic import Logistic, fit_logistic
from iqaloss.evaluation.agreement.metrics import NAMES, measure_groups
from iqaloss.evaluation.agreement.plots import scatter
from iqaloss.evaluation.agreement.tables import HEADINGS, to_csv, to_text
from iqaloss.evaluation.evaluate import Evaluation, table_rows


def data(count: int = 200, noise: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    target = generator.random(count)
    return target + noise * generator.normal(size=count), target


def test_correlations_are_scipys() -> None:
    x, y = data()
    assert srcc(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert plcc(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert krcc(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)


@pytest.mark.parametrize("levels", [(3, 3), (5, 40), (40, 5), (1000, 1000), (1, 5)])
def test_two_afc_counts_pairs(levels: tuple[int, int]) -> None:
    generator = np.random.default_rng(levels[0])
    x, y = generator.integers(0, levels[0], 40), generator.integers(0, levels[1], 40)
    agreed = [
        0.5 * (np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) + 1) for i in range(40) for j in range(i) if y[i] != y[j]
    ]
    assert two_afc(x, y) == pytest.approx(np.mean(agreed))


def test_two_afc_of_equal_human_scores_is_undefined() -> None:
    assert math.isnan(two_afc([1, 2, 3], [4, 4, 4]))


def test_a_logistic_is_found_again() -> None:
    curve = Logistic(top=87.0, bottom=12.0, middle=-3.0, width=2.5)
    x = np.linspace(-15, 10, 60)
    found = fit_logistic(x, curve(x))
    np.testing.assert_allclose([found.top, found.bottom, found.middle, found.width], [87.0, 12.0, -3.0, 2.5], rtol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6, -3.0])
def test_the_fit_does_not_depend_on_the_scorers_scale(scale: float) -> None:
    x, y = data()
    want, got = measure(x, y, repeats=0), measure(scale * x + 5 * scale, y, repeats=0)
    assert got.plcc_fit == pytest.approx(want.plcc_fit, abs=1e-4)
    assert got.rmse == pytest.approx(want.rmse, rel=1e-3)


@pytest.mark.parametrize("bend", [lambda t: t, np.exp, np.tanh, lambda t: t**3, lambda t: -t])
def test_the_fit_is_never_worse_than_a_line(bend: object) -> None:
    x, y = data(noise=0.1)
    bent = bend(4 * x - 2)  # type: ignore[operator]
    result = measure(bent, y, repeats=0)
    assert result.plcc_fit >= abs(result.plcc) - 1e-4
    assert result.rmse <= np.std(y) + 1e-9
    assert result.mae <= result.rmse


def test_a_monotone_bend_keeps_ranks_and_loses_raw_plcc() -> None:
    x, y = data(noise=0.0)
    result = measure(1 / (1 + np.exp(-12 * (x - 0.5))), y, repeats=0)
    assert result.srcc == pytest.approx(1.0)
    assert result.two_afc == pytest.approx(1.0)
    assert result.plcc < 0.985


def test_intervals_hold_the_value_and_narrow_with_more_images() -> None:
    widths = []
    for count in (50, 1000):
        x, y = data(count)
        result = measure(x, y, repeats=200)
        assert set(result.ci) == set(NAMES)
        for name in NAMES:
            low, high = result.ci[name]
            assert low <= getattr(result, name) <= high
        widths.append(result.ci["srcc"][1] - result.ci["srcc"][0])
    assert widths[1] < widths[0] / 2


def test_intervals_agree_with_scipys_bootstrap() -> None:
    x, y = data(100)
    low, high = confidence_intervals(x, y, None, repeats=2000)["plcc"]
    want = stats.bootstrap(
        (x, y), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False, n_resamples=2000,
        method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert (low, high) == pytest.approx((want.low, want.high), abs=0.02)


def test_intervals_depend_on_the_seed_alone() -> None:
    x, y = data(60)
    assert measure(x, y, repeats=50).ci == measure(x, y, repeats=50).ci
    assert measure(x, y, repeats=50).ci != measure(x, y, repeats=50, seed=1).ci


@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_few_images_give_what_can_be_known(count: int) -> None:
    x, y = data(count) if count else (np.empty(0), np.empty(0))
    result = measure(x, y, repeats=20)
    assert result.n == count
    assert math.isnan(result.plcc_fit)
    assert math.isnan(result.srcc) == (count < 2)
    json.dumps(result.to_dict(), allow_nan=False)


def test_constant_predictions_have_no_correlation() -> None:
    result = measure(np.ones(20), np.linspace(0, 1, 20), repeats=10)
    assert math.isnan(result.srcc)
    assert math.isnan(result.plcc)
    assert result.two_afc == 0.5
    assert result.to_dict()["srcc"] is None


@pytest.mark.parametrize(
    ("pred", "target", "message"),
    [([1, 2], [1], "2 and 1"), ([1, math.nan], [1, 2], "1 of the 2 predictions"), ([1], [math.inf], "human scores")],
)
def test_wrong_input_is_named(pred: list[float], target: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(pred, target)


def test_other_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="0 < level < 1"):
        measure(*data(10), level=95.0)
    with pytest.raises(ValueError, match="at least 5 points"):
        fit_logistic([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="a group for each"):
        measure_groups([1.0, 2.0], [1.0, 2.0], ["a"])


def test_groups_are_measured_one_by_one() -> None:
    x, y = data(40)
    groups = ["b" if index % 2 else "a" for index in range(40)]
    found = measure_groups(x, y, groups)
    assert list(found) == ["a", "b"]
    assert found["a"].srcc == pytest.approx(srcc(x[::2], y[::2]))


def evaluation(scorer: str, *, grouped: bool = False) -> Evaluation:
    x, y = data(60, seed=len(scorer))
    groups = measure_groups(x, y, ["left"] * 30 + ["right"] * 30) if grouped else {}
    return Evaluation(scorer, "a set", measure(x, y, repeats=20), groups, x, y)


def test_several_scorers_share_one_table() -> None:
    rows = table_rows([evaluation("one"), evaluation("another", grouped=True)])
    text = to_text(rows)
    lines = text.splitlines()
    assert len(lines) == 2 + 4
    assert all(heading in lines[0] for heading in ("scorer", "dataset", "group", *HEADINGS.values()))
    assert "left" in text
    assert "±" in lines[2]
    read = list(csv.DictReader(io.StringIO(to_csv(rows))))
    assert [row["scorer"] for row in read] == ["one", "another", "another", "another"]
    assert float(read[0]["srcc_low"]) <= float(read[0]["srcc"]) <= float(read[0]["srcc_high"])


def test_the_plot_shows_points_and_curve(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    one = evaluation("one")
    with_curve = np.asarray(Image.open(scatter(one, tmp_path / "sub" / "a.png")).convert("L"))
    without = Evaluation("one", "a set", measure([1, 2], [1, 2], repeats=0), {}, one.pred, one.target)
    assert with_curve.shape == (750, 750)
    assert (with_curve < 128).sum() > (
        np.asarray(Image.open(scatter(without, tmp_path / "b.png")).convert("L")) < 128
    ).sum()
