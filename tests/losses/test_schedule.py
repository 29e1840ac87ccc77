"""Weights that follow the steps of training."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from iqaloss import IQALoss, MDIQALoss
from iqaloss.losses.registry import LossSpec
from iqaloss.losses.schedule import Schedule
from testing.cases import random_pair, tiny


def test_between_two_steps_runs_a_straight_line() -> None:
    schedule = Schedule.read("loss_weight", {1000: 0.03, 0: 0, 2000: 0.01})
    assert [schedule.at(step) for step in (0, 500, 1000, 1500, 2000, 10**9)] == pytest.approx(
        [0, 0.015, 0.03, 0.02, 0.01, 0.01]
    )
    assert Schedule.read("loss_weight", {100: 0.5, 200: 1}).at(0) == 0.5
    assert Schedule.read("loss_weight", 0.25).at(7) == 0.25
    assert Schedule.read("loss_weight", {"0": 0, "1000": 1.0}).at(250) == 0.25


def test_a_loss_weight_follows_its_steps() -> None:
    plain, loss = (MDIQALoss(scorer=tiny("mdiqa-mobile"), loss_weight=w) for w in (1.0, {0: 0, 10: 2.0}))
    pred, _ = random_pair(plain)
    want = plain(pred)
    for step, weight in ((0, 0.0), (5, 1.0), (20, 2.0), (5, 1.0)):
        loss.set_step(step)
        torch.testing.assert_close(loss(pred), weight * want)
        torch.testing.assert_close(copy.deepcopy(loss)(pred), weight * want)


def test_dimension_weights_follow_theirs() -> None:
    loss = MDIQALoss({"sharpness": {0: 0, 100: 4}, "contrast": 0.5}, scorer=tiny("mdiqa-mobile"))
    loss.set_step(0)
    assert "sharpness" not in loss.active
    loss.set_step(50)
    assert (loss.weights["sharpness"], loss.weights["contrast"], loss.weights["noisiness"]) == (2.0, 0.5, 1.0)
    pred, _ = random_pair(loss)
    want = MDIQALoss(loss.weights, scorer=loss.scorer)
    torch.testing.assert_close(loss(pred), want(pred))
    loss.set_weights({"sharpness": 3.0})
    assert loss.weights["sharpness"] == 3.0


def test_a_schedule_that_nobody_follows_is_told() -> None:
    loss = IQALoss(tiny("mdiqa-mobile"), loss_weight={0: 0, 1000: 0.03})
    with pytest.raises(RuntimeError, match=r"follows a schedule: call loss_fn.set_step\(step\)"):
        loss(random_pair(loss)[0])
    plain = IQALoss(tiny("mdiqa-mobile"))
    plain(random_pair(plain)[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"loss_weight": {}}, ValueError, "must be a number or map steps to numbers"),
        ({"loss_weight": {-1: 1.0}}, ValueError, "a step of loss_weight must be at least 0, got -1"),
        ({"loss_weight": {"soon": 1.0}}, TypeError, "a step of loss_weight must be a whole number"),
        ({"loss_weight": {0: "much"}}, TypeError, "loss_weight at step 0 must be a number, got 'much'"),
        ({"weights": {"sharpness": {0: -1.0}}}, ValueError, "the weight of sharpness at step 0 must be finite and not"),
        ({"weights": [{0: 0, 9: 1}, 0, 0, 0, 0]}, ValueError, "all weights are zero at step 0"),
    ],
)
def test_a_wrong_schedule_is_told(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MDIQALoss(scorer=tiny("mdiqa-mobile"), **options)


def test_recipes_take_it() -> None:
    read = {"type": "MDIQALoss", "loss_weight": {0: 0, 1000: 0.03}, "weights": {"sharpness": {0: 1, 10: 2}}}
    loss = LossSpec.read(read).build(tiny("mdiqa-mobile"))
    loss.set_step(500)
    assert loss.loss_weight == pytest.approx(0.015)
    assert loss.weights["sharpness"] == 2
