"""What of a gradient reaches the images: a bounded score, a bounded length, less of the finest pattern."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from iqaloss import IQALoss, MDIQALoss
from iqaloss.losses.functional import nr_loss
from iqaloss.losses.registry import LossSpec
from iqaloss.scorers.layers.blur import gaussian_blur
from testing.cases import random_pair, tiny


def loss_with(**options: Any) -> MDIQALoss:
    return MDIQALoss(None, options.pop("mode", "both"), tiny("mdiqa-mobile"), **options)


def gradient_of(loss: IQALoss, pred: Tensor, target: Tensor, factor: float = 1.0) -> Tensor:
    return torch.autograd.grad(loss(pred, target) * factor, pred)[0]


def lengths(gradient: Tensor) -> Tensor:
    """In units of the gradient of the mean absolute error of one image."""
    return gradient.flatten(1).norm(dim=1) * gradient[0].numel() ** 0.5


# --- score map ---


def test_a_sigmoid_bounds_the_loss_and_leaves_its_order_and_its_middle() -> None:
    scores = torch.tensor([-50.0, 0.25, 0.5, 0.75, 50.0], requires_grad=True)
    bounded = nr_loss(scores, score_map="sigmoid")
    assert (bounded.diff() < 0).all()
    assert ((bounded >= 0) & (bounded <= 1)).all()
    (slope,) = torch.autograd.grad(bounded.sum(), scores)
    assert bounded[2].item() == pytest.approx(0.5)
    assert slope[2].item() == pytest.approx(-1)
    assert slope[1].item() == pytest.approx(slope[3].item()) == pytest.approx(-0.78645, abs=1e-4)


def test_each_dimension_is_bounded_before_it_is_weighed() -> None:
    loss = loss_with(mode="nr", score_map="sigmoid")
    pred, _ = random_pair(loss)
    _, terms = loss(pred, return_terms=True)
    scores = loss.scorer(pred).dimensions
    for name, term in terms.items():
        torch.testing.assert_close(term, (0.2 * torch.sigmoid(4 * (0.5 - scores[name]))).mean().detach())


# --- length ---


@pytest.mark.parametrize("micro_batch", [None, 1])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_long_gradient_is_shortened_and_keeps_its_direction(reduction: str, micro_batch: int | None) -> None:
    options = {"reduction": reduction, "loss_weight": 0.5, "micro_batch": micro_batch}
    plain, limited = loss_with(**options), loss_with(max_gradient_norm=1e-3, **options)
    pred, target = random_pair(plain, batch=3)
    assert torch.equal(plain(pred, target), limited(pred, target))
    free, short = gradient_of(plain, pred, target), gradient_of(limited, pred, target)
    share = 0.5 / 3 if reduction == "mean" else 0.5
    assert (lengths(free) > 1e-3 * share).all()
    torch.testing.assert_close(lengths(short), torch.full((3,), 1e-3 * share), rtol=1e-4, atol=0)
    torch.testing.assert_close(torch.cosine_similarity(free.flatten(1), short.flatten(1)), torch.ones(3))


def test_a_short_gradient_and_a_scalers_factor_change_nothing() -> None:
    plain, limited = loss_with(), loss_with(max_gradient_norm=1e3)
    pred, target = random_pair(plain)
    torch.testing.assert_close(gradient_of(limited, pred, target), gradient_of(plain, pred, target))
    tight = loss_with(max_gradient_norm=1e-3)
    once, scaled = gradient_of(tight, pred, target), gradient_of(tight, pred, target, 1024.0)
    torch.testing.assert_close(scaled, 1024 * once)


def test_the_unit_is_the_gradient_of_an_l1_loss_in_any_range() -> None:
    pred, target = random_pair(loss_with())
    ours, theirs = loss_with(max_gradient_norm=1e-3), loss_with(max_gradient_norm=1e-3, input_range=(0, 255))
    large = (255 * pred.detach()).requires_grad_()
    torch.testing.assert_close(
        gradient_of(theirs, large, 255 * target), gradient_of(ours, pred, target) / 255, rtol=1e-3, atol=1e-9
    )


# --- finest pattern ---


def test_smoothing_takes_that_share_of_the_high_pass_part() -> None:
    plain = loss_with()
    pred, target = random_pair(plain)
    free = gradient_of(plain, pred, target)
    low = gaussian_blur(free, 1.0)
    for share in (0.25, 1.0):
        got = gradient_of(loss_with(gradient_smoothing=share), pred, target)
        torch.testing.assert_close(got, free - share * (free - low), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"score_map": "sigmid"}, ValueError, "did you mean 'sigmoid'"),
        ({"score_map": "sigmoid", "mode": "fr"}, ValueError, 'score_map="sigmoid" is about no-reference terms'),
        ({"max_gradient_norm": 0}, ValueError, "max_gradient_norm must be None or more than 0, got 0"),
        ({"gradient_smoothing": 1.5}, ValueError, r"gradient_smoothing must lie in \[0, 1\], got 1.5"),
        ({"gradient_smoothing": "all"}, TypeError, "gradient_smoothing must be a number, got 'all'"),
    ],
)
def test_a_wrong_option_is_told(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        loss_with(**options)


def test_recipes_take_them() -> None:
    read = {"type": "MDIQALoss", "score_map": "sigmoid", "max_gradient_norm": 1.0, "gradient_smoothing": 0.5}
    loss = LossSpec.read(read).build(tiny("mdiqa-mobile"))
    assert (loss.score_map, loss.limits.longest, loss.limits.smoothing) == ("sigmoid", 1.0, 0.5)
