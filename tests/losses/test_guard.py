"""What may not pass into a training: values that are not finite, what they spoil, images of another range."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from iqaloss import IQALoss, MDIQALoss
from iqaloss.losses import guard
from iqaloss.losses.checks import NonFiniteLossError
from iqaloss.losses.guard import FiniteGuard, Watch
from testing.cases import random_pair, tiny

NEAR_AND_FAR = pytest.mark.parametrize("near", [True, False], ids=["at once", "late"])


def mobile(**options: Any) -> MDIQALoss:
    return MDIQALoss(scorer=tiny("mdiqa-mobile"), **options)


def trusted(loss: IQALoss, near: bool, monkeypatch: pytest.MonkeyPatch) -> IQALoss:
    """The loss after its first call, on a device whose values are read at once or late."""
    loss(random_pair(loss)[0].detach())
    monkeypatch.setattr(guard, "answers_at_once", lambda device: near)
    return loss


@NEAR_AND_FAR
@pytest.mark.parametrize("nonfinite", ["raise", "skip", "ignore"])
def test_a_gradient_that_overflows_of_a_finite_value_reaches_the_gradient_scaler(
    nonfinite: str, near: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In half precision a scaler finds its factor by the overflow; zeros in its place would train nothing for ever."""
    monkeypatch.setattr(guard, "answers_at_once", lambda device: near)
    watcher, watch = FiniteGuard(nonfinite, (0, 1)), Watch()
    watcher._trusted = True
    pred = torch.rand(2, 3, 4, 4, requires_grad=True)
    values = watcher.admit(pred, "pred", watch).flatten(1).sum(1)
    values = watcher.finite({"score": values}, values, pred, watch)
    (values.sum() * math.inf).backward()
    assert pred.grad.isinf().all()
    watcher.settle()


@NEAR_AND_FAR
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_skipped_step_leaves_every_weight_of_the_network_as_it_was(
    wrong: float, near: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = trusted(mobile(nonfinite="skip"), near, monkeypatch)
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.PReLU(), nn.Conv2d(3, 3, 1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters())
    images = torch.rand(1, 3, 64, 64)
    images[0, 0, 3, 3] = wrong
    with pytest.warns(RuntimeWarning, match=r"pred is not finite.*leave out optimizer\.step\(\)"):  # noqa: PT031
        value = loss(network(images))
        value.backward()
        loss.check()
    optimizer.step()
    assert value.item() == 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("clamp", ["ste", "clip"])
def test_an_infinite_input_is_not_finite_and_no_wrong_range(clamp: str) -> None:
    pred = torch.rand(1, 3, 64, 64)
    pred[0, 0, 0, 0] = math.inf
    with pytest.raises(NonFiniteLossError, match=r"pred is not finite; the input has .* 1 of 12288 values not finite"):
        mobile(clamp=clamp)(pred)
    with pytest.raises(NonFiniteLossError, match="target is not finite"):
        mobile(mode="fr").encode(pred)


@NEAR_AND_FAR
@pytest.mark.parametrize(
    ("input_range", "low", "high", "said"),
    [
        ((0, 1), -1, 1, r"% of it lie outside input_range=\(0, 1\).*\[-1, 1\] is input_range=\(-1, 1\)"),
        ((0, 255), 0, 1, r"a sliver of input_range=\(0, 255\)"),
        ((0, 255), -1, 1, r"a sliver of input_range=\(0, 255\)"),
        ((0, 65535), 0, 255, "a sliver"),
        ((0, 1), 0, 1 / 255, "a sliver"),
    ],
)
def test_images_of_another_range_are_doubted_once(
    input_range: tuple[float, float], low: float, high: float, said: str, near: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = mobile(input_range=input_range)
    pred = low + (high - low) * random_pair(loss)[0].detach()
    if near:
        with pytest.warns(UserWarning, match=said):
            loss(pred)
    else:
        loss.guard._trusted = True
        monkeypatch.setattr(guard, "answers_at_once", lambda device: False)
        loss(pred)
        with pytest.warns(UserWarning, match=said):
            loss.check()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(pred)
        loss.check()


@pytest.mark.parametrize(
    "change",
    [
        lambda images: 1.2 * images - 0.1,
        lambda images: images + 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)),
        lambda images: 0.01 * (images - 0.5),
        lambda images: 0 * images,
        lambda images: 0.5 + 0.001 * images,
    ],
    ids=["overshoot", "noise", "a new network", "black", "grey"],
)
def test_what_a_network_gives_in_the_right_range_is_not_doubted(change: Any) -> None:
    loss = mobile()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss(change(random_pair(loss)[0].detach()))


def test_findings_of_threads_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two calls that are under way at once keep what they found apart, and both are told."""
    monkeypatch.setattr(guard, "answers_at_once", lambda device: False)
    watcher = FiniteGuard("raise", (0, 1))
    watcher._trusted = True
    good, bad = torch.rand(1, 3, 4, 4, requires_grad=True), torch.rand(1, 3, 4, 4, requires_grad=True)
    watches = Watch(), Watch()
    images = [watcher.admit(pred, "pred", watch) for pred, watch in zip((good, bad), watches)]
    values: list[Tensor] = [images[0].flatten(1).sum(1), images[1].flatten(1).sum(1) * math.nan]
    values = [
        watcher.finite({"score": value}, value, pred, watch) for value, pred, watch in zip(values, (good, bad), watches)
    ]
    torch.cat(values).sum().backward()
    assert (good.grad == 1).all()
    assert (bad.grad == 0).all()
    with pytest.raises(NonFiniteLossError, match="not finite in score"):
        watcher.settle()
