"""Options that save memory: the same loss and gradient, fewer bytes, and clear errors."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from iqaloss import IQALoss, MDIQALoss, create_scorer
from iqaloss.integrations.basicsr.loss_checks import check_loss
from iqaloss.losses import MoEAGIQALoss, guard
from iqaloss.losses.checks import NonFiniteLossError
from iqaloss.losses.inputs import crop_places, shrink, take
from iqaloss.losses.options import loss_options
from iqaloss.losses.recompute import stages
from iqaloss.losses.registry import LossSpec
from iqaloss.losses.runner import is_convolutional, wants_channels_last
from testing.cases import CASES, Case, random_pair, tiny
from testing.costs import NoWaiting, Peak, saved_bytes

every_loss = pytest.mark.parametrize("case", CASES, ids=str)
OPTIONS = {"checkpoint": True, "channels_last": True, "max_side": 128, "crop": 64, "micro_batch": 2}


def with_options(loss: IQALoss, **options: Any) -> IQALoss:
    """Changes how the scorer of a loss runs that was built already."""
    loss.runner = replace(loss.runner, **options)
    return loss


def value_and_gradient(loss: IQALoss, pred: Tensor, target: object, case: Case) -> tuple[Tensor, Tensor]:
    value = loss(pred, target) if case.compares else loss(pred)
    return value.detach(), torch.autograd.grad(value, pred)[0]


def known(loss: IQALoss, *images: Tensor) -> list[Tensor]:
    return [*loss.scorer.parameters(), *loss.scorer.buffers(), *images]


# --- the same gradient ---


@every_loss
def test_options_that_save_memory_keep_value_and_gradient(case: Case, device: torch.device) -> None:
    loss = case.loss(device)
    pred, target = random_pair(loss, batch=3)
    value, gradient = value_and_gradient(loss, pred, target, case)
    most = gradient.abs().max().item()
    for options, tolerance in (
        ({"checkpoint": True}, 1e-6),
        ({"micro_batch": 2}, 1e-5),
        ({"channels_last": True}, 1e-4),
    ):
        got, its = value_and_gradient(with_options(case.loss(device), **options), pred, target, case)
        torch.testing.assert_close(got, value, rtol=1e-5, atol=1e-6, msg=f"{options}")
        torch.testing.assert_close(its, gradient, rtol=0, atol=min(1e-6, tolerance * most), msg=f"{options}")


def pair(**options: Any) -> tuple[MDIQALoss, Tensor, Tensor]:
    loss = MDIQALoss(mode="both", scorer=tiny("mdiqa-mobile"), **options)
    return loss, *random_pair(loss, batch=5)


# --- micro-batches ---


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("encoded", [False, True])
def test_micro_batches_give_every_reduction_and_its_terms(reduction: str, encoded: bool) -> None:
    whole, pred, target = pair(reduction=reduction, loss_weight=0.5)
    split, _, _ = pair(reduction=reduction, loss_weight=0.5, micro_batch=2)
    reference = split.encode(target) if encoded else target
    want, want_terms = whole(pred, target, return_terms=True)
    got, terms = split(pred, reference, return_terms=True)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(terms, want_terms)
    outer = torch.linspace(0.5, 2, got.numel()).view(got.shape)
    gradients = [torch.autograd.grad((value * outer).sum(), pred)[0] for value in (want, got)]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=2e-6 * gradients[0].abs().max().item())


def test_an_encoded_target_is_cut_into_its_images() -> None:
    loss, _, target = pair(micro_batch=2)
    encoded = loss.encode(target)
    last = encoded[3:]
    assert last.shape == (2, *target.shape[1:])
    torch.testing.assert_close(last.features, loss.encode(target[3:]).features)


def test_micro_batches_take_each_images_own_prompt() -> None:
    prompts = torch.tensor([[1, 7, 9, 2], [1, 5, 2, 0], [1, 3, 3, 2]])
    whole, split = (MoEAGIQALoss(prompts, scorer=tiny("moe-agiqa"), micro_batch=size) for size in (None, 2))
    pred, _ = random_pair(whole, batch=3)
    torch.testing.assert_close(split(pred), whole(pred))


@pytest.mark.parametrize("mode", ["nr", "both"])
def test_with_micro_batches_a_larger_batch_adds_the_images_gradient_only(mode: str) -> None:
    loss = MDIQALoss(mode=mode, scorer=tiny("mdiqa-mobile"), micro_batch=2)
    found = {}
    for batch in (2, 8):
        pred, target = random_pair(loss, batch=batch)
        saved, _ = saved_bytes(lambda: loss(pred, target), known(loss, pred, target))  # noqa: B023
        with Peak() as peak:
            loss(pred, target).backward()
        found[batch] = (saved, peak.most, pred.numel() * pred.element_size())
    image = found[8][2] - found[2][2]
    assert found[8][0] == found[2][0] + image  # nothing but the gradient stays
    # Alive at once, beside one micro-batch: the images in the clamp's steps, the target's, and the gradient twice.
    assert found[8][1] <= found[2][1] + 8 * image
    plain = MDIQALoss(mode=mode, scorer=loss.scorer)
    assert found[8][0] < 0.2 * saved_bytes(lambda: plain(pred, target), known(loss, pred, target))[0]


def test_a_second_derivative_of_micro_batches_is_an_error() -> None:
    loss, pred, target = pair(micro_batch=2)
    with pytest.raises(RuntimeError, match="micro_batch= has first derivatives only"):
        torch.autograd.grad(loss(pred, target), pred, create_graph=True)


def test_micro_batches_keep_no_graph_under_no_grad() -> None:
    loss, pred, target = pair(micro_batch=2)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            assert not loss(pred, target).requires_grad
    assert not loss(pred.detach(), target).requires_grad


# --- checkpoint ---


def test_checkpoints_halve_what_is_kept_and_lower_the_peak() -> None:
    scorer = create_scorer("mdiqa-mobile")
    pred = torch.rand(1, 3, 256, 256, requires_grad=True)
    found = []
    for checkpoint in (False, True):
        loss = MDIQALoss(scorer=scorer, checkpoint=checkpoint)
        saved, _ = saved_bytes(lambda: loss(pred), known(loss, pred))  # noqa: B023
        with Peak() as peak:
            loss(pred).backward()
        found.append((saved, peak.most))
    assert found[1][0] <= 0.5 * found[0][0]
    assert found[1][1] <= 0.7 * found[0][1]


def test_checkpoints_leave_the_scorer_as_it_was() -> None:
    scorer = tiny("mdiqa-mobile")
    loss = MDIQALoss(scorer=scorer, checkpoint=True)
    pred, _ = random_pair(loss)
    value = loss(pred)
    assert stages(scorer)
    assert not any("forward" in vars(module) for module in scorer.modules())
    with pytest.raises(ValueError, match="pred must have"):
        loss(pred[0])
    value.backward()
    assert pred.grad is not None


# --- inputs ---


@pytest.mark.parametrize("mode", ["nr", "fr", "both"])
def test_max_side_judges_the_shrunk_pair_and_reaches_every_pixel(mode: str) -> None:
    scorer = tiny("mdiqa-mobile")
    loss = MDIQALoss(mode=mode, scorer=scorer, max_side=64)
    pred = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(1))
    value = loss(pred, target)
    torch.testing.assert_close(value, MDIQALoss(mode=mode, scorer=scorer)(shrink(pred, 64), shrink(target, 64)))
    value.backward()
    assert (pred.grad != 0).float().mean() > 0.99
    if mode != "nr":
        torch.testing.assert_close(loss(pred, loss.encode(target)), value)


def test_a_crop_is_the_same_for_both_images_and_follows_the_seed() -> None:
    loss, whole = (MDIQALoss(mode="both", scorer=tiny("mdiqa-mobile"), crop=crop) for crop in (64, None))
    pred, target = torch.rand(2, 3, 3, 80, 96, generator=torch.Generator().manual_seed(0))
    pred.requires_grad_()
    torch.manual_seed(3)
    value = loss(pred, target)
    torch.manual_seed(3)
    places = crop_places(3, (80, 96), 64)
    torch.testing.assert_close(value, whole(take(pred, *places), take(target, *places)))
    torch.manual_seed(3)
    assert torch.equal(loss(pred, target), value)
    assert not torch.equal(loss(pred, target), value)
    value.backward()
    assert ((pred.grad != 0).any(dim=1).flatten(1).sum(1) <= 64 * 64).all()
    torch.manual_seed(3)
    split = MDIQALoss(mode="both", scorer=loss.scorer, crop=64, micro_batch=1)
    torch.testing.assert_close(split(pred, target), value)


def test_a_crop_of_identical_images_is_at_the_minimum() -> None:
    loss = MDIQALoss(mode="fr", scorer=tiny("mdiqa-mobile"), crop=64)
    pred = torch.rand(2, 3, 90, 110)
    assert loss(pred, pred.clone()).item() == pytest.approx(0, abs=1e-6)


def test_crops_lie_anywhere_in_the_image() -> None:
    rows, columns = crop_places(4000, (6, 5), 4)
    assert rows.shape == columns.shape == (4000, 4)
    assert rows[:, 0].unique().tolist() == [0, 1, 2]
    assert columns[:, 0].unique().tolist() == [0, 1]
    whole = crop_places(2, (3, 5), 4)[0]
    assert whole.tolist() == [[0, 1, 2]] * 2


# --- channels last ---


def test_channels_last_reaches_the_network() -> None:
    scorer = tiny("mdiqa-mobile")
    seen: list[bool] = []
    convolution = next(module for module in scorer.modules() if isinstance(module, nn.Conv2d))
    convolution.register_forward_hook(
        lambda _, given, out: seen.append(out.is_contiguous(memory_format=torch.channels_last))
    )
    pred, _ = random_pair(IQALoss(scorer))
    for option in (True, False, "auto"):
        IQALoss(scorer, channels_last=option)(pred)
    assert seen == [True, False, True]


def test_channels_last_is_chosen_for_convolutions_where_it_is_faster() -> None:
    on_cpu, on_gpu = ((torch.device(name), torch.float32) for name in ("cpu", "cuda"))
    assert wants_channels_last("auto", True, *on_cpu, None)
    assert not wants_channels_last("auto", False, *on_cpu, None)
    assert wants_channels_last(True, False, *on_cpu, None)
    assert wants_channels_last("auto", True, *on_gpu, "bf16")
    assert not wants_channels_last("auto", True, *on_gpu, "fp32")
    assert wants_channels_last("auto", True, torch.device("cuda"), torch.float16, None)


def test_scorers_are_told_apart_by_where_their_weights_are() -> None:
    found = {name: is_convolutional(tiny(name)) for name in ("pmt-iqa", "sr-iqa", "moe-agiqa")}
    assert found == {"pmt-iqa": True, "sr-iqa": False, "moe-agiqa": False}


# --- what a wrong option is told ---


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"checkpoint": "yes"}, TypeError, "checkpoint must be True or False, got 'yes'"),
        ({"channels_last": "aut"}, ValueError, "did you mean 'auto'"),
        ({"channels_last": 1}, TypeError, 'True, False or "auto", got 1'),
        ({"max_side": 16}, ValueError, "max_side must be at least 32, the side that mdiqa-mobile needs, got 16"),
        ({"max_side": 64.0}, TypeError, "max_side must be a whole number or None, got 64.0"),
        ({"crop": 8}, ValueError, "crop must be at least 32"),
        ({"crop": True}, TypeError, "crop must be a whole number"),
        ({"micro_batch": 0}, ValueError, "micro_batch must be at least 1, got 0"),
    ],
)
def test_a_wrong_option_is_told(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        MDIQALoss(scorer=tiny("mdiqa-mobile"), **options)


def test_an_encoded_target_does_not_go_with_a_random_crop() -> None:
    plain, pred, target = pair()
    encoded = plain.encode(target)
    cropped, _, _ = pair(crop=64)
    with pytest.raises(ValueError, match="cannot be encoded with crop=64: every call cuts at another place"):
        cropped.encode(target)
    with pytest.raises(ValueError, match="crop=64: pass the target's images"):
        cropped(pred, encoded)
    with pytest.raises(ValueError, match=r"encoded with max_side=None.*this loss has max_side=48"):
        pair(max_side=48)[0](pred, encoded)


def test_a_side_that_shrinks_too_far_is_told() -> None:
    loss = MDIQALoss(scorer=tiny("mdiqa-mobile"), max_side=64)
    with pytest.raises(ValueError, match="max_side=64 makes pred of 64x256 16x64, which is shorter than 32"):
        loss(torch.rand(1, 3, 64, 256))


def test_basicsr_recipes_take_the_options() -> None:
    options = {"type": "MDIQALoss", "mode": "both", **OPTIONS}
    assert not check_loss("train.perceptual_opt", options)
    assert "crop must be at least 32" in check_loss("train.perceptual_opt", {**options, "crop": 4})[0]
    assert set(OPTIONS) <= set(loss_options(MDIQALoss))
    loss = LossSpec.read(options).build(tiny("mdiqa-mobile"))
    assert {name: getattr(loss.runner, name, None) or getattr(loss.inputs, name, None) for name in OPTIONS} == OPTIONS
    pred, target = random_pair(loss, batch=3)
    loss(pred, target).backward()
    assert pred.grad is not None


# --- looking without waiting ---


@pytest.fixture
def far_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the loss treat this CPU as a device that is read late."""
    monkeypatch.setattr(guard, "answers_at_once", lambda device: False)


def poisoned(**options: Any) -> tuple[MDIQALoss, Tensor, Tensor]:
    """A loss that has been called once and finds its noisiness NaN from then on."""
    loss = MDIQALoss(scorer=tiny("mdiqa-mobile"), mode="both", **options)
    pred, target = random_pair(loss)
    loss(pred, target)
    head = loss.scorer.branches["technical"].heads["noisiness"]  # type: ignore[index, union-attr]
    with torch.no_grad():
        head.regress[-1].bias.fill_(float("nan"))
    return loss, pred, target


@pytest.mark.usefixtures("far_device")
def test_a_far_device_is_not_waited_for() -> None:
    loss = MDIQALoss(scorer=tiny("mdiqa-mobile"), mode="both")
    pred, target = random_pair(loss)
    want = loss(pred, target)
    for _ in range(2):
        loss.check()
        with NoWaiting():
            value = loss(pred, target)
            value.backward()
        torch.testing.assert_close(value, want)


@pytest.mark.usefixtures("far_device")
def test_a_nan_is_named_at_the_next_call_and_spoils_no_weight() -> None:
    loss, pred, target = poisoned()
    value = loss(pred, target)
    value.backward()
    assert torch.isnan(value)
    assert torch.isfinite(pred.grad).all()
    with pytest.raises(NonFiniteLossError, match=r"call before this one.*not finite in nr_noisiness;.*pred of shape"):
        loss(pred, target)
    loss(pred, target)
    with pytest.raises(NonFiniteLossError, match="nr_noisiness"):
        loss.check()
    loss.check()


@pytest.mark.usefixtures("far_device")
def test_a_far_nan_step_is_skipped_and_told_later() -> None:
    loss, pred, target = poisoned(nonfinite="skip")
    value = loss(pred, target)
    value.backward()
    assert value.item() == 0
    assert pred.grad is None
    with pytest.warns(RuntimeWarning, match="nr_noisiness"):
        loss.check()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss.check()


@pytest.mark.usefixtures("far_device")
def test_a_far_wrong_range_is_told_at_once_first_and_then_at_the_next_call() -> None:
    loss = MDIQALoss(scorer=tiny("mdiqa-mobile"), mode="fr")
    pred, target = random_pair(loss)
    with pytest.raises(ValueError, match="pred spans"):
        loss(pred * 255, target)
    loss(pred, target)
    loss(pred, target * 255)
    with pytest.raises(ValueError, match="call before this one, target spans"):
        loss(pred, target)
    loss.encode(target * 255)
    loss.encode(target)
    loss(pred, target)
    with pytest.raises(ValueError, match="call before this one, target spans"):
        loss.check()
