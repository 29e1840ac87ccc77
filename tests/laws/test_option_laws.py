"""The laws hold with each option of a loss on, as they do without."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

from iqaloss import IQALoss, MDIQALoss
from testing.cases import TRACED, random_pair, tiny

OPTIONS: dict[str, dict[str, Any]] = {
    "prefilter": {"prefilter": 0.8},
    "augment": {"augment": ["flip", "shift", "resize"]},
    "relative": {"relative_to": "target"},
    "signed": {"relative_to": "target_signed"},
    "sigmoid": {"score_map": "sigmoid"},
    "norm": {"max_gradient_norm": 0.01},
    "smoothing": {"gradient_smoothing": 0.5},
    "tile": {"tile": 32},
    "softmax": {"tile": 48, "tile_pool": "softmax"},
}
"""Each option of every loss that is off by default."""

RANDOM = ("augment",)

every_option = pytest.mark.parametrize("name", OPTIONS)
every_mode = pytest.mark.parametrize("mode", ["nr", "fr", "both"])


def loss_with(name: str, mode: str, device: torch.device, dtype: torch.dtype = torch.float32, **more: Any) -> IQALoss:
    scorer = tiny("mdiqa-mobile").to(device, dtype)
    try:
        return MDIQALoss({"sharpness": 2.0}, mode, scorer, **OPTIONS[name], **more)
    except ValueError as error:
        assert mode == "fr"
        pytest.skip(str(error))


def seeded(loss: IQALoss, pred: Tensor, target: object) -> Tensor:
    torch.manual_seed(0)
    return loss(pred, target)


@every_option
@every_mode
def test_value_and_gradient_are_finite_float32_and_follow_the_seed(
    name: str, mode: str, device: torch.device, dtype: torch.dtype
) -> None:
    loss = loss_with(name, mode, device, dtype)
    pred, target = random_pair(loss)
    for images in (pred.detach(), torch.zeros_like(target), torch.ones_like(target)):
        images = images.clone().requires_grad_()
        value = seeded(loss, images, target)
        value.backward()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert torch.isfinite(images.grad).all()
        assert (images.grad.abs().max() > 0) == (value.item() != 0)
        torch.testing.assert_close(seeded(loss, images, target), value)


@every_option
@every_mode
def test_no_gradient_reaches_weights_or_target(name: str, mode: str, device: torch.device) -> None:
    loss = loss_with(name, mode, device)
    pred, target = random_pair(loss)
    seeded(loss, pred, target.requires_grad_()).backward()
    assert target.grad is None
    assert not any(weight.requires_grad or weight.grad is not None for weight in loss.scorer.parameters())


@every_option
@every_mode
def test_nothing_is_kept_under_no_grad(name: str, mode: str, device: torch.device) -> None:
    loss = loss_with(name, mode, device)
    pred, target = random_pair(loss)
    saved: list[torch.Size] = []
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.shape) or t, lambda t: t):
            assert not loss(pred, target).requires_grad
    assert not saved


@every_option
@every_mode
def test_autocast_changes_little(name: str, mode: str, device: torch.device) -> None:
    loss = loss_with(name, mode, device)
    pred, target = random_pair(loss)
    want = seeded(loss, pred, target)
    with torch.autocast(device.type, torch.bfloat16):
        value = seeded(loss, pred, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, want, rtol=0.03, atol=0.03)


@every_option
@every_mode
def test_memory_options_keep_value_and_gradient(name: str, mode: str, device: torch.device) -> None:
    plain = loss_with(name, mode, device)
    pred, target = random_pair(plain, batch=3)
    want = seeded(plain, pred, target)
    (gradient,) = torch.autograd.grad(want, pred)
    for options in ({"checkpoint": True}, {"micro_batch": 2}):
        got = seeded(loss_with(name, mode, device, **options), pred, target)
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
        (its,) = torch.autograd.grad(got, pred)
        torch.testing.assert_close(its, gradient, rtol=0, atol=1e-5 * gradient.abs().max().item() + 1e-9)


@every_option
@every_mode
def test_terms_are_detached_and_add_up(name: str, mode: str, device: torch.device) -> None:
    loss = loss_with(name, mode, device)
    value, terms = loss(*random_pair(loss), return_terms=True)
    assert all(term.ndim == 0 and not term.requires_grad for term in terms.values())
    torch.testing.assert_close(torch.stack(list(terms.values())).sum(), value.detach())


@every_option
@every_mode
def test_an_image_depends_on_no_other(name: str, mode: str, device: torch.device) -> None:
    if name in RANDOM:
        pytest.skip("each image has a draw of its own")
    loss = loss_with(name, mode, device, reduction="none")
    pred, target = random_pair(loss, batch=3)
    single = [loss(pred[i : i + 1], target[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss(pred, target), torch.cat(single), rtol=1e-5, atol=1e-6)


@every_option
@every_mode
def test_an_encoded_target_gives_the_same_value_and_gradient(name: str, mode: str, device: torch.device) -> None:
    loss = loss_with(name, mode, device)
    pred, target = random_pair(loss)
    if name in RANDOM:
        with pytest.raises(ValueError, match="cannot be encoded with"):
            loss.encode(target)
        return
    encoded = loss.encode(target)
    torch.testing.assert_close(loss(pred, encoded), loss(pred, target))
    torch.testing.assert_close(
        torch.autograd.grad(loss(pred, encoded), pred), torch.autograd.grad(loss(pred, target), pred)
    )


@every_option
def test_copies_are_equal(name: str, device: torch.device) -> None:
    loss = loss_with(name, "both", device)
    pred, target = random_pair(loss)
    want = seeded(loss, pred, target)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.testing.assert_close(seeded(other, pred, target), want)


@TRACED
@every_option
def test_it_compiles_to_one_graph(name: str) -> None:
    torch.compiler.reset()
    # What an option does to images and terms is the same for every scorer, and this one is traced soonest.
    loss = IQALoss(tiny("pmt-iqa"), "both", **OPTIONS[name])
    pred, target = random_pair(loss)
    want = seeded(loss, pred, target)
    got = seeded(torch.compile(loss, fullgraph=True, backend="eager"), pred, target)
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
    (expected,) = torch.autograd.grad(want, pred)
    (gradient,) = torch.autograd.grad(got, pred)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
