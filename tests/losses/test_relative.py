"""No-reference terms seen from the target's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from iqaloss import IQALoss, MDIQALoss, list_scorers
from iqaloss.losses.registry import LossSpec
from testing.cases import random_pair, tiny


def loss_with(**options: Any) -> MDIQALoss:
    return MDIQALoss(options.pop("weights", None), options.pop("mode", "nr"), tiny("mdiqa-mobile"), **options)


@pytest.mark.parametrize("name", list_scorers())
def test_the_signed_form_is_the_difference_of_two_losses(name: str) -> None:
    plain, relative = IQALoss(tiny(name)), IQALoss(tiny(name), relative_to="target_signed")
    pred, target = random_pair(plain)
    want = plain(pred) - plain(target).detach()
    got = relative(pred, target.requires_grad_())
    torch.testing.assert_close(got, want)
    gradients = [torch.autograd.grad(value, pred)[0] for value in (got, want)]
    torch.testing.assert_close(*gradients)
    assert not torch.autograd.grad(relative(pred, target), target, allow_unused=True)[0]


@pytest.mark.parametrize("mode", ["nr", "both"])
@pytest.mark.parametrize("form", ["weighted", "fused"])
def test_no_term_asks_for_better_than_the_target(mode: str, form: str) -> None:
    signed, loss = (loss_with(mode=mode, form=form, relative_to=to) for to in ("target_signed", "target"))
    pred, target = random_pair(loss, batch=1)
    _, differences = signed(pred, target, return_terms=True)
    _, terms = loss(pred, target, return_terms=True)
    assert list(terms) == list(differences)
    for name, term in terms.items():
        torch.testing.assert_close(term, differences[name].clamp_min(0) if "fr_" not in name else differences[name])


def test_as_good_as_the_target_has_no_loss_and_no_gradient() -> None:
    loss = loss_with(relative_to="target")
    pred, _ = random_pair(loss)
    value = loss(pred, pred.detach().clone())
    value.backward()
    assert value.item() == 0
    assert not pred.grad.any()


@pytest.mark.parametrize("micro_batch", [None, 1])
@pytest.mark.parametrize("mode", ["nr", "both"])
def test_an_encoded_target_carries_its_scores(mode: str, micro_batch: int | None) -> None:
    loss = loss_with(mode=mode, relative_to="target_signed", micro_batch=micro_batch)
    pred, target = random_pair(loss)
    encoded = loss.encode(target.requires_grad_())
    assert not any(score.requires_grad for score in encoded.output.dimensions.values())
    torch.testing.assert_close(loss(pred, encoded), loss(pred, target))
    loss.set_weights({"sharpness": 3.0})
    torch.testing.assert_close(loss(pred, encoded), loss(pred, target))


def test_it_needs_a_target_that_fits() -> None:
    loss, plain = loss_with(relative_to="target"), loss_with(mode="fr")
    pred, target = random_pair(loss)
    with pytest.raises(ValueError, match='relative_to="target" compares with a target'):
        loss(pred)
    with pytest.raises(ValueError, match=r"encoded target lacks brightness, .*encode it again with this loss"):
        loss(pred, plain.encode(target))
    with pytest.raises(ValueError, match='relative_to="target" is about no-reference terms, which mode="fr" has not'):
        loss_with(mode="fr", relative_to="target")
    with pytest.raises(ValueError, match="did you mean 'target_signed'"):
        loss_with(relative_to="target_sined")


def test_recipes_take_it() -> None:
    loss = LossSpec.read({"type": "MDIQALoss", "relative_to": "target"}).build(tiny("mdiqa-mobile"))
    assert loss.relative_to == "target"
