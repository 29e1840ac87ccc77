"""Training objectives: pinned values, and finite gradients where batches are degenerate."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from iqaloss.training import objectives, schedules
from testing.golden import Golden

Objective = Callable[[Tensor, Tensor], Tensor]

PUBLISHED: dict[str, Objective] = {
    "mdiqa_nin": objectives.norm_in_norm,
    "mdiqa_plcc": objectives.plcc,
    "mdiqa_fidelity": objectives.fidelity,
    "sr_fidelity": objectives.fidelity,
    "lar_neg_plcc": objectives.plcc_unbiased,
}

SCORES: dict[str, Objective] = {
    "l1": objectives.l1,
    "mse": objectives.mse,
    "norm_in_norm": objectives.norm_in_norm,
    "norm_in_norm_p2": lambda p, t: objectives.norm_in_norm(p, t, p=2),
    "norm_in_norm_q1": lambda p, t: objectives.norm_in_norm(p, t, p=2, q=1),
    "plcc": objectives.plcc,
    "plcc_unbiased": objectives.plcc_unbiased,
    "fidelity_released": objectives.fidelity,
    "fidelity_paper": lambda p, t: objectives.fidelity(p, t, link="paper"),
    "ranking": objectives.ranking,
    "ranking_margin": lambda p, t: objectives.ranking(p, t, margin=0.1),
}

DEGENERATE = {
    "one": ([0.3], [0.7]),
    "two": ([0.3, 0.4], [0.7, 0.1]),
    "tied targets": ([0.3, 0.9, 0.1], [0.5, 0.5, 0.5]),
    "some tied targets": ([0.3, 0.9, 0.1], [0.5, 0.5, 0.7]),
    "constant predictions": ([0.4, 0.4, 0.4], [0.1, 0.5, 0.9]),
    "both constant": ([0.4, 0.4, 0.4], [0.2, 0.2, 0.2]),
    "perfect": ([0.1, 0.5, 0.9], [0.1, 0.5, 0.9]),
    "far off": ([100.0, -100.0, 0.0], [0.1, 0.5, 0.9]),
    "huge": ([1e6, 2e6, -1e6], [0.1, 0.5, 0.9]),
}


@pytest.mark.parametrize("count", [1, 2, 3, 4, 16])
@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_values_and_gradients_are_the_published_ones(name: str, count: int, golden: Golden) -> None:
    arrays = golden.load("loss_maths")
    if f"n{count}_{name}" not in arrays:
        assert count == 1  # undefined in the published code: a single image has no pair and no deviation
        return
    pred = torch.from_numpy(arrays[f"n{count}_pred"]).requires_grad_()
    value = PUBLISHED[name](pred, torch.from_numpy(arrays[f"n{count}_target"]))
    value.backward()
    assert pred.grad is not None
    np.testing.assert_allclose(value.item(), arrays[f"n{count}_{name}_f64"].item(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pred.grad.numpy(), arrays[f"n{count}_{name}_grad"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [2, 3, 4, 16])
def test_fidelity_of_votes_is_the_published_one(count: int, golden: Golden) -> None:
    arrays = golden.load("loss_maths")
    pred = torch.from_numpy(arrays[f"n{count}_pred"]).requires_grad_()
    prefer = objectives.vote_preferences(torch.from_numpy(arrays[f"n{count}_votes"]))
    value = objectives.fidelity(pred, prefer=prefer)
    value.backward()
    assert pred.grad is not None
    np.testing.assert_allclose(value.item(), arrays[f"n{count}_sr_fidelity_votes_f64"].item(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pred.grad.numpy(), arrays[f"n{count}_sr_fidelity_votes_grad"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("pred", "target", "prefer", "want"),
    [
        ([1.0, 2.0, 3.0], [10.0, 30.0, 20.0], None, 0.231859),
        ([1.0, 1.0], [1.0, 2.0], None, 0.292793),
        ([1.0, 2.0], [5.0, 5.0], None, 0.069756),
        ([1.0, 0.0], None, [[0.5, 0.75], [0.25, 0.5]], 0.006482),
    ],
)
def test_fidelity_of_known_pairs(
    pred: list[float], target: list[float] | None, prefer: list[list[float]] | None, want: float
) -> None:
    given = {"target": None if target is None else torch.tensor(target)}
    given["prefer"] = None if prefer is None else torch.tensor(prefer)
    assert objectives.fidelity(torch.tensor(pred), **given).item() == pytest.approx(want, abs=2e-6)


def test_the_papers_link_halves_the_variance_of_the_difference() -> None:
    pred, target = torch.tensor([1.0, 3.0, 2.0]), torch.tensor([1.0, 2.0, 3.0])
    wide = objectives.fidelity(pred * math.sqrt(2.0), target, link="paper")
    torch.testing.assert_close(wide, objectives.fidelity(pred, target, link="released"))


@pytest.mark.parametrize("case", sorted(DEGENERATE))
@pytest.mark.parametrize("name", sorted(SCORES))
def test_degenerate_batches_give_finite_values_and_gradients(name: str, case: str) -> None:
    pred = torch.tensor(DEGENERATE[case][0], requires_grad=True)
    target = torch.tensor(DEGENERATE[case][1], requires_grad=True)
    value = SCORES[name](pred, target)
    value.backward()
    assert value.shape == ()
    assert torch.isfinite(value)
    assert pred.grad is not None
    assert torch.isfinite(pred.grad).all()
    if name != "mse":  # its gradient is the error itself
        assert pred.grad.abs().max() <= 1e5
    assert target.grad is None


@pytest.mark.parametrize("name", sorted(SCORES))
def test_perfect_predictions_are_at_least_as_good_as_reversed_ones(name: str) -> None:
    target = torch.linspace(0.0, 1.0, 8)
    assert SCORES[name](target * 3, target * 3) < SCORES[name](target.flip(0) * 3, target * 3)


@pytest.mark.parametrize("name", ["norm_in_norm", "plcc", "plcc_unbiased"])
def test_scale_and_offset_of_predictions_do_not_matter_to_correlation_losses(name: str) -> None:
    torch.manual_seed(0)
    pred, target = torch.rand(12), torch.rand(12)
    torch.testing.assert_close(SCORES[name](pred * 7 - 3, target), SCORES[name](pred, target), rtol=1e-4, atol=1e-5)


def test_constant_predictions_are_pushed_towards_the_targets_order() -> None:
    pred = torch.full((3,), 0.5, requires_grad=True)
    objectives.plcc(pred, torch.tensor([0.1, 0.5, 0.9])).backward()
    assert pred.grad is not None
    assert pred.grad[0] > pred.grad[1] > pred.grad[2]


def test_ranking_counts_only_wrongly_ordered_untied_pairs() -> None:
    pred, target = torch.tensor([0.0, 1.0, 3.0]), torch.tensor([1.0, 1.0, 0.0])
    # pairs: (0, 1) tied; (0, 2) wrong by 3; (1, 2) wrong by 2
    assert objectives.ranking(pred, target).item() == pytest.approx(2.5)


def test_a_lone_image_has_no_pair_to_lose() -> None:
    for name in ("fidelity_released", "fidelity_paper", "ranking"):
        pred = torch.tensor([0.3], requires_grad=True)
        value = SCORES[name](pred, torch.tensor([0.9]))
        value.backward()
        assert value.item() == 0.0
        assert pred.grad is not None
        assert pred.grad.item() == 0.0


@pytest.mark.parametrize(("rule", "want"), [("floor", [0, 0, 2, 3, 9, 9, 0, 9]), ("round", [0, 0, 2, 3, 9, 9, 0, 9])])
def test_quality_levels_stay_inside(rule: str, want: list[int]) -> None:
    scores = torch.tensor([0.0, 0.04, 0.2, 0.3, 0.97, 1.0, -0.2, 1.3])
    assert objectives.quality_levels(scores, 10, rule=rule).tolist() == want


def test_quality_levels_follow_the_published_rules() -> None:
    scores = torch.tensor([0.449, 0.45, 0.55, 0.16])
    assert objectives.quality_levels(scores, 10, rule="floor").tolist() == [4, 4, 5, 1]
    # round half to even, on what float arithmetic makes of the halves
    assert objectives.quality_levels(torch.tensor([25.0, 35.0, 36.0]), 10, high=100.0, rule="round").tolist() == [
        2,
        4,
        4,
    ]


@pytest.mark.parametrize("logits", [torch.zeros(1, 4), torch.full((2, 4), 80.0), torch.tensor([[900.0, -900.0, 0, 0]])])
def test_level_cross_entropy_is_finite(logits: Tensor) -> None:
    logits = logits.clone().requires_grad_()
    value = objectives.level_cross_entropy(logits, torch.ones(len(logits), dtype=torch.long))
    value.backward()
    assert torch.isfinite(value)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_level_cross_entropy_takes_probabilities() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    levels = torch.tensor([0, 4, 2])
    hard = objectives.level_cross_entropy(logits, levels)
    soft = objectives.level_cross_entropy(logits, torch.nn.functional.one_hot(levels, 5).float())
    torch.testing.assert_close(hard, soft)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: objectives.l1(torch.rand(3), torch.rand(2)), "as many targets"),
        (lambda: objectives.mse(torch.rand(0), torch.rand(0)), "as many targets"),
        (lambda: objectives.fidelity(torch.rand(2), torch.rand(2), link="relased"), "did you mean 'released'"),
        (lambda: objectives.fidelity(torch.rand(2)), "either target or prefer"),
        (lambda: objectives.fidelity(torch.rand(2), prefer=torch.rand(3, 3)), r"\[2, 2\]"),
        (lambda: objectives.vote_preferences(torch.rand(3)), "images, people"),
        (lambda: objectives.quality_levels(torch.rand(3), 0), "levels >= 1"),
        (lambda: objectives.level_cross_entropy(torch.rand(2, 3), torch.zeros(3).long()), "logits"),
        (lambda: schedules.progressive_weights(30, 30), r"0..29"),
        (lambda: schedules.warmup_cosine(0, warmup=5, horizon=5), "warmup < horizon"),
    ],
)
def test_wrong_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("epochs", [20, 30])
def test_pmt_schedules_are_the_published_ones(epochs: int, golden: Golden) -> None:
    arrays = golden.load("loss_maths")
    code = np.array([schedules.progressive_weights(t, epochs, form="released") for t in range(epochs)])
    np.testing.assert_allclose(code[:, 0], arrays[f"pmt_T{epochs}_code_lambda1"], atol=1e-12)
    np.testing.assert_allclose(code[:, 1], arrays[f"pmt_T{epochs}_code_lambda2"], atol=1e-12)
    for name, xi in {"BID": 0.9419, "LIVEC": 0.9841, "LIVE": 0.9941, "CSIQ": 0.8931}.items():
        paper = [schedules.progressive_weights(t, epochs, xi=xi)[0] for t in range(epochs)]
        np.testing.assert_allclose(paper, arrays[f"pmt_T{epochs}_paper_{name}_lambda1"], rtol=1e-4)
    rates = [schedules.pmt_learning_rate(t, 1.0933e-4) for t in range(epochs)]
    np.testing.assert_allclose(rates, arrays[f"pmt_T{epochs}_lr"], rtol=1e-9)
    np.testing.assert_allclose(schedules.PMT_FIXED, arrays["pmt_fixed_lambda"], rtol=1e-9)


def test_lar_schedule_is_the_published_one(golden: Golden) -> None:
    arrays = golden.load("loss_maths")
    steps = int(arrays["lar_lr_steps_per_epoch"].item())
    rates = [5e-5 * schedules.warmup_cosine(t, warmup=5 * steps, horizon=20 * steps) for t in range(10 * steps)]
    np.testing.assert_allclose(rates, arrays["lar_lr_per_step"], rtol=1e-6, atol=1e-12)
