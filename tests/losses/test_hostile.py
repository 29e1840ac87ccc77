"""Hostile use of a loss ends in words of its own, and leaves no mark outside of it."""

from __future__ import annotations

import random
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from iqaloss import IQALoss, MDIQALoss, create_scorer
from iqaloss.losses.registry import read_spec
from testing.cases import random_pair, tiny

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def mobile(**options: Any) -> MDIQALoss:
    return MDIQALoss(**{"scorer": tiny("mdiqa-mobile"), **options})


# --- options ---


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mode": ["nr"]}, ValueError, r"unknown mode \['nr'\]; did you mean 'nr'"),
        ({"weights": b"abcde"}, TypeError, "weights must be a dict by dimension name or a sequence, got bytes"),
        ({"weights": {"sharpness": 1e39}}, ValueError, "the weight of sharpness must be 0 or between .* got 1e.39"),
        ({"weights": [1e38] * 5}, ValueError, "the weight of brightness must be 0 or between"),
        ({"loss_weight": "x"}, TypeError, "loss_weight must be a number, got 'x'"),
        ({"loss_weight": None}, TypeError, "loss_weight must be a number, got None"),
        ({"loss_weight": torch.ones(2)}, TypeError, "loss_weight must be a number, got tensor"),
        ({"loss_weight": 10**400}, ValueError, r"loss_weight must be finite, got 10+ \.\.\.$"),
        ({"loss_weight": 10**5000}, ValueError, "got a number of more than 4300 digits"),
        ({"loss_weight": {0: 0, 10: 1e39}}, ValueError, "loss_weight at step 10 must be 0 or between"),
        ({"loss_weight": 1e-46}, ValueError, "loss_weight must be 0 or between 1e-18"),
        ({"input_range": (0, float("inf"))}, ValueError, "two finite numbers"),
        ({"input_range": (0, 1e-45)}, ValueError, "two finite numbers"),
        ({"input_range": (1, 1 + 1e-12)}, ValueError, "too narrow for float32"),
        ({"input_range": "01"}, ValueError, "two finite numbers"),
        ({"max_side": 10**400}, ValueError, "max_side must be at most"),
        ({"prefilter": 1e-300}, ValueError, "prefilter must be 0 or between"),
        ({"max_gradient_norm": 1e-300}, ValueError, "max_gradient_norm must be 0 or between"),
        ({"augment": {"shift": 10**9}}, ValueError, "shift must be at most 65536"),
        ({"chunk": 2}, TypeError, "^MDIQALoss: the option 'chunk' is called 'micro_batch' today"),
        ({"loss_weigth": 2}, TypeError, "^MDIQALoss: unknown option 'loss_weigth'; did you mean 'loss_weight'"),
    ],
)
def test_an_option_that_cannot_be_right_is_told(options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        mobile(**options)


@pytest.mark.parametrize("number", [np.float32(2), np.float64(2), np.int64(2), 2])
def test_numbers_of_numpy_count_as_numbers(number: Any) -> None:
    assert mobile(loss_weight=number).loss_weight == 2.0
    assert mobile(weights={"sharpness": number}).weights["sharpness"] == 2.0
    assert mobile(crop=np.int64(48), micro_batch=np.int8(1)).inputs.crop == 48


def test_a_recipe_with_a_type_of_another_kind_is_told() -> None:
    for kind in (["MDIQALoss"], {}, None, 3):
        with pytest.raises(ValueError, match="unknown loss type"):
            read_spec({"type": kind})


@pytest.mark.parametrize("form", ["weighted", "fused"])
@pytest.mark.parametrize("mode", ["nr", "fr"])
def test_weights_of_any_size_that_is_taken_give_a_gradient(form: str, mode: str) -> None:
    pred = IMAGES.clone().requires_grad_()
    mobile(weights=[1e18, 1e-18, 1, 0, 1e18], form=form, mode=mode)(pred, IMAGES.flip(0)).backward()
    assert torch.isfinite(pred.grad).all()
    assert pred.grad.any()


# --- images ---


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda images: images.to(torch.float8_e4m3fn), TypeError, "float32 or half, got dtype torch.float8_e4m3fn"),
        (lambda images: images.to_sparse(), TypeError, "must be a dense tensor .* layout sparse_coo"),
        (lambda images: images.to_mkldnn(), TypeError, "must be a dense tensor .* layout _mkldnn"),
        (lambda images: torch.nested.nested_tensor([*images]), TypeError, "must be a dense tensor .* layout nested"),
        (lambda images: images.to("meta"), ValueError, "is on meta and the scorer on cpu"),
        (lambda images: images.to(torch.complex64), TypeError, "got dtype torch.complex64$"),
    ],
    ids=["float8", "sparse", "mkldnn", "nested", "meta", "complex"],
)
def test_a_tensor_of_another_kind_is_told(change: Any, error: type[Exception], message: str) -> None:
    loss = mobile(mode="fr")
    for call in (lambda bad: loss(bad, IMAGES), lambda bad: loss(IMAGES, bad), loss.encode, loss.scorer):
        with pytest.raises(error, match=message):
            call(change(IMAGES))


def test_an_encoded_target_is_cut_by_any_slice_and_by_nothing_else() -> None:
    loss = mobile(mode="fr", reduction="none")
    encoded, other = loss.encode(IMAGES), IMAGES.roll(1, 3)
    torch.testing.assert_close(loss(other.flip(0), encoded[::-1]), loss(other, encoded).flip(0))
    for rows in (0, torch.tensor([0]), [0], None, "a", ...):
        with pytest.raises(TypeError, match=r"cut by slices, encoded\[2:3\] for one image"):
            encoded[rows]
    with pytest.raises(ValueError, match="no image is left of the 2"):
        encoded[5:]


def test_data_parallel_is_refused_where_it_would_copy_a_loss() -> None:
    """Its replicas would all score on the first device."""

    inside = [module for module in nn.ModuleDict({"loss": mobile()}).modules() if isinstance(module, IQALoss)]
    with pytest.raises(RuntimeError, match="call the loss on what the wrapped network returns"):
        inside[0]._replicate_for_data_parallel()


# --- transforms ---


def test_what_torch_func_cannot_follow_is_told() -> None:
    pred = IMAGES.clone().requires_grad_()
    (want,) = torch.autograd.grad(mobile()(pred), pred)
    torch.testing.assert_close(torch.func.grad(mobile())(IMAGES), want)
    with pytest.raises(RuntimeError, match='pass the batch, with reduction="none"'):
        torch.func.vmap(mobile())(IMAGES[:, None])
    for options in ({"micro_batch": 1}, {"checkpoint": True}, {"max_gradient_norm": 1.0}, {"gradient_smoothing": 0.5}):
        with pytest.raises(RuntimeError, match=f"a loss with {next(iter(options))} has a backward pass of its own"):
            torch.func.grad(mobile(**options))(IMAGES)


@pytest.mark.parametrize("options", [{}, {"micro_batch": 1}, {"checkpoint": True}], ids=str)
def test_a_second_backward_adds_the_same_gradient(options: dict[str, Any]) -> None:
    pred = IMAGES.clone().requires_grad_()
    value = mobile(**options)(pred)
    value.backward(retain_graph=True)
    once = pred.grad.clone()
    value.backward()
    torch.testing.assert_close(pred.grad, 2 * once)


# --- what lies outside ---


def outside() -> tuple[Any, ...]:
    return (
        torch.get_rng_state().numpy().tobytes(),
        random.getstate(),
        np.random.get_state()[1].tobytes(),  # type: ignore[union-attr]
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.backends.cudnn.benchmark,
    )


def test_building_and_calling_a_loss_changes_nothing_outside_of_it() -> None:
    before = outside()
    loss = MDIQALoss(mode="both")
    assert outside() == before
    pred = IMAGES.clone().requires_grad_()
    loss(pred, IMAGES).backward()
    read_spec({"type": "MDIQALoss", "mode": "fr"}).check()
    loss.scorer.copy()
    assert outside() == before


def test_a_loss_built_in_inference_mode_trains_later() -> None:
    with torch.inference_mode():
        loss = MDIQALoss(mode="both")
        encoded = loss.encode(IMAGES)
        fresh = create_scorer("mdiqa-mobile", weights=None)
        spoilt = tiny("pmt-iqa")
        spoilt.mean = spoilt.mean.clone()
    pred = IMAGES.flip(0).clone().requires_grad_()
    loss(pred, IMAGES).backward()
    assert pred.grad.any()
    loss(pred, encoded).backward()
    assert not any(weight.is_inference() for weight in fresh.parameters())
    with pytest.raises(ValueError, match="built in inference mode"):
        IQALoss(spoilt)


@pytest.mark.parametrize("options", [{}, {"checkpoint": True}, {"micro_batch": 1}], ids=str)
def test_four_threads_share_a_loss_and_its_scorer(options: dict[str, Any]) -> None:
    loss = mobile(mode="both", **options)
    plain, (pred, target) = mobile(mode="both"), random_pair(loss)
    (want,) = torch.autograd.grad(plain(pred, target), pred)
    found: list[Tensor] = []

    def train() -> None:
        own = pred.detach().clone().requires_grad_()
        loss(own, target).backward()
        found.append(own.grad)

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for gradient in found:
        torch.testing.assert_close(gradient, want, rtol=1e-4, atol=1e-6)
    assert not any("forward" in vars(module) or module._forward_hooks for module in loss.scorer.modules())
