"""Several losses as one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from iqaloss import IQALoss, MDIQALoss
from iqaloss.losses import IQALossSum
from iqaloss.losses.registry import LossSpec, build_losses, read_spec
from testing.cases import random_pair, tiny

RECIPE: dict[str, Any] = {
    "type": "IQALossSum",
    "loss_weight": 0.5,
    "losses": {
        "look": {"type": "MDIQALoss", "weights": {"sharpness": 2.0}, "loss_weight": 0.25},
        "close": {"type": "IQALoss", "mode": "fr", "prefilter": 0.8},
    },
}


def two() -> tuple[IQALoss, IQALoss, IQALossSum]:
    first = MDIQALoss(scorer=tiny("mdiqa-mobile"), loss_weight=0.25)
    second = IQALoss(tiny("pmt-iqa"), "fr", loss_weight=2.0)
    return first, second, IQALossSum({"look": first, "close": second}, loss_weight=0.5)


def test_it_is_the_weighted_sum_and_its_terms_say_whose_they_are() -> None:
    first, second, both = two()
    pred, target = random_pair(second)
    value, terms = both(pred, target, return_terms=True)
    torch.testing.assert_close(value, 0.5 * (first(pred) + second(pred, target)))
    torch.testing.assert_close(torch.stack(list(terms.values())).sum(), value.detach())
    assert {name.split("_")[0] for name in terms} == {"look", "close"}
    value.backward()
    assert torch.isfinite(pred.grad).all()
    torch.testing.assert_close(both(pred, both.encode(target)), value)


def test_it_is_frozen_and_saves_nothing() -> None:
    _, _, both = two()
    holder = nn.ModuleDict({"net": nn.Conv2d(3, 3, 1), "loss": both}).train()
    assert set(holder.state_dict()) == {"net.weight", "net.bias"}
    assert not any(loss.scorer.training for _, loss in both.named())
    holder.to("meta")
    assert all(loss.scorer.mean.is_meta for _, loss in both.named())


def test_a_schedule_reaches_every_loss() -> None:
    first, second, both = two()
    both.set_step(3)
    assert (first.step, second.step) == (3, 3)


def test_a_recipe_names_it_and_a_scorer_that_is_named_twice_is_shared() -> None:
    spec = read_spec(RECIPE)
    spec.check()
    both = spec.build()
    assert isinstance(both, IQALossSum)
    look, close = (loss for _, loss in both.named())
    assert look.scorer is close.scorer
    assert (both.loss_weight, look.loss_weight, close.inputs.prefilter) == (0.5, 0.25, 0.8)
    built = build_losses({"sum": spec, "alone": LossSpec.read({"type": "IQALoss"})})
    assert built["alone"].scorer is built["sum"].losses["look"].scorer


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": {}}, "losses must map names of your choice to losses"),
        ({"losses": {"a": {"type": "MDIQALos"}}}, r"losses.a: .*did you mean 'MDIQALoss'"),
        ({"losses": {"a": {"type": "IQALoss", "prefliter": 1}}}, r"losses.a: .*did you mean 'prefilter'"),
        ({"losses": {"a": RECIPE}}, "losses.a: a sum has losses, and no sums, in it"),
        ({"type": "IQALosSum"}, "did you mean 'IQALossSum'"),
        ({"loss_wieght": 1}, "did you mean 'loss_weight'"),
        ({"scorer": "mdiqa-mobile"}, "unknown option 'scorer'"),
    ],
)
def test_a_wrong_recipe_is_told_with_its_place(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_spec({**RECIPE, **changes})


def test_what_is_no_loss_or_is_reduced_otherwise_is_told() -> None:
    with pytest.raises(TypeError, match="a must be an IQALoss, got L1Loss"):
        IQALossSum({"a": nn.L1Loss()})
    scorer = tiny("mdiqa-mobile")
    with pytest.raises(ValueError, match="the losses of a sum have one reduction"):
        IQALossSum({"a": IQALoss(scorer), "b": IQALoss(scorer, reduction="sum")})
