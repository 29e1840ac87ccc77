"""Half precision: the gradient stays near that of float32, and a loss that is told to be half stays float32 inside."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from iqaloss import IQALoss
from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.registry import list_scorers
from testing.cases import CASES, Case, random_pair

FARTHEST, LEAST_COSINE = 0.1, 0.995
"""How far a gradient in bfloat16 may lie from that in float32, relative to its length, and their cosine."""

every_loss = pytest.mark.parametrize("case", CASES, ids=str)


def gradient(loss: IQALoss, pred: Tensor, target: Tensor) -> Tensor:
    return torch.autograd.grad(loss(pred, target), pred)[0].flatten()


@every_loss
def test_the_gradient_in_bfloat16_is_near_that_in_float32(case: Case, device: torch.device) -> None:
    """Whoever asks for bfloat16, the loss's option or the caller's autocast; whatever is folded."""
    loss = case.loss(device)
    pred, target = random_pair(loss)
    want = gradient(loss, pred, target)
    with torch.autocast(device.type, torch.bfloat16):
        autocast = gradient(loss, pred, target)
    object.__setattr__(loss.runner, "precision", "bf16")
    for got in (autocast, gradient(loss, pred, target)):
        assert (got - want).norm() <= FARTHEST * want.norm()
        assert torch.cosine_similarity(got, want, dim=0) >= LEAST_COSINE


@pytest.mark.parametrize("name", list_scorers())
def test_a_distance_in_bfloat16_is_that_in_float32_for_any_weights(name: str) -> None:
    """One difference whose sign bfloat16 turned round would be a sixth of a small map's gradient."""
    torch.manual_seed(10)
    loss = IQALoss(create_tiny(name), "fr")
    side = max(64, loss.scorer.card.min_side)
    for seed in (7, 10):
        pred, target = torch.rand(2, 1, 3, side, side, generator=torch.Generator().manual_seed(seed))
        want = gradient(loss, pred.requires_grad_(), target)
        with torch.autocast("cpu", torch.bfloat16):
            got = gradient(loss, pred, target)
        assert (got - want).norm() <= 0.01 * want.norm()


@pytest.mark.parametrize("case", [case for case in CASES if case.label in ("nr", "fused-fr")], ids=str)
@pytest.mark.parametrize("cast", [lambda loss: loss.half(), lambda loss: loss.to(torch.bfloat16)], ids=["half", "to"])
def test_a_loss_told_to_be_half_stays_as_it_is(case: Case, cast: Callable[[IQALoss], IQALoss]) -> None:
    """As when a network that holds it is cast: its frozen scorer would only get worse."""
    loss = case.loss()
    pred, target = random_pair(loss)
    want = loss(pred, target).detach()
    value = cast(loss)(pred, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.detach(), want)
    half = loss(pred.detach().bfloat16(), target.bfloat16())
    assert half.dtype == torch.float32


@pytest.mark.parametrize("case", [case for case in CASES if case.label == "nr"], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_scorer_held_in_half_precision_gives_about_the_same_loss(case: Case, dtype: torch.dtype) -> None:
    loss, whole = case.loss(dtype=dtype), case.loss()
    pred, target = random_pair(loss)
    value = loss(pred, target)
    value.backward()
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, whole(pred.detach().float(), target.float()), rtol=0.05, atol=0.01)
