"""The laws that hold for every registered scorer and every loss made of one."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from iqaloss import IQALoss, list_scorers
from iqaloss.scorers.base import Request
from testing.cases import CASES, Case, random_pair, tiny
from testing.costs import total_flops
from testing.tolerances import Tolerance

every_loss = pytest.mark.parametrize("case", CASES, ids=str)
every_scorer = pytest.mark.parametrize("name", list_scorers())
Build = Callable[[Case], IQALoss]


def value_of(loss: IQALoss, pred: Tensor, target: Tensor, case: Case) -> Tensor:
    return loss(pred, target) if case.compares else loss(pred)


class Restorer(nn.Module):
    """A restoration network that holds its loss as an attribute."""

    def __init__(self, loss: IQALoss) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.loss = loss


@every_scorer
def test_output_is_complete_and_ordered(name: str, device: torch.device, dtype: torch.dtype) -> None:
    scorer = tiny(name).to(device, dtype)
    images = random_pair(IQALoss(scorer))[1]
    out = scorer(images)
    assert out.score.shape == (2,)
    assert tuple(out.dimensions) == scorer.dimension_names
    assert tuple(out.features) == scorer.feature_names
    assert all(value.shape == (2,) for value in out.dimensions.values())
    assert all(value.ndim == 4 and value.shape[0] == 2 for value in out.features.values())


@every_scorer
def test_a_request_returns_what_was_asked_and_the_same_values(
    name: str, device: torch.device, dtype: torch.dtype
) -> None:
    scorer = tiny(name).to(device, dtype)
    images = random_pair(IQALoss(scorer))[1]
    whole = scorer(images)
    for feature in scorer.feature_names:
        some = scorer(images, Request(features=(feature,)))
        assert list(some.features) == [feature]
        assert not some.dimensions
        torch.testing.assert_close(some.features[feature], whole.features[feature])
        with pytest.raises(ValueError, match="not computed"):
            _ = some.score
    for dimension in scorer.dimension_names:
        some = scorer(images, Request(dimensions=(dimension,)))
        assert list(some.dimensions) == [dimension]
        torch.testing.assert_close(some.dimensions[dimension], whole.dimensions[dimension])


@every_scorer
def test_frozen_scorer_ignores_a_parents_train(name: str, device: torch.device, dtype: torch.dtype) -> None:
    scorer = tiny(name).to(device, dtype)
    parent = nn.Sequential(scorer)
    images = random_pair(IQALoss(scorer))[1]
    before = {key: value.clone() for key, value in scorer.state_dict().items()}
    score = scorer(images).score
    parent.train()
    assert not any(module.training for module in scorer.modules())
    torch.testing.assert_close(scorer(images).score, score)
    for key, value in scorer.state_dict().items():
        torch.testing.assert_close(value, before[key], msg=key)


@every_scorer
def test_unfrozen_scorer_trains_and_freezing_undoes_it(name: str) -> None:
    scorer = tiny(name).unfreeze().train()
    assert scorer.training
    assert any(parameter.requires_grad for parameter in scorer.parameters())
    scorer.freeze()
    assert not scorer.training
    assert not any(parameter.requires_grad for parameter in scorer.parameters())


@every_loss
def test_no_gradient_reaches_weights_or_target(case: Case, build: Build) -> None:
    loss = build(case)
    pred, target = random_pair(loss)
    target.requires_grad_()
    value_of(loss, pred, target, case).backward()
    assert pred.grad is not None
    assert target.grad is None
    assert all(parameter.grad is None for parameter in loss.scorer.parameters())


@every_loss
def test_gradient_is_finite_and_not_zero(case: Case, build: Build) -> None:
    loss = build(case)
    pred, target = random_pair(loss)
    flat = torch.ones_like(target)
    for images in (pred.detach(), 0 * flat, flat, 0.5 * flat):
        images = images.clone().requires_grad_()
        value = value_of(loss, images, target, case)
        value.backward()
        assert value.dtype == torch.float32
        assert torch.isfinite(value)
        assert torch.isfinite(images.grad).all()
        assert images.grad.abs().max() > 0


@every_loss
def test_identical_images_are_at_the_minimum_of_a_full_reference_loss(
    case: Case, build: Build, loss_tolerance: Tolerance
) -> None:
    loss = build(case)
    pred = random_pair(loss)[0]
    value, terms = loss(pred, pred.detach().clone(), return_terms=True)
    value.backward()
    assert torch.isfinite(pred.grad).all()
    compared = [term for name, term in terms.items() if name.startswith("fr_") or loss.mode == "fr"]
    assert bool(compared) == case.compares
    for term in compared:
        torch.testing.assert_close(term, torch.zeros_like(term), atol=loss_tolerance["atol"], rtol=0)
    other = random_pair(loss, seed=1)[1]
    if loss.mode == "fr":
        assert loss(other, pred.detach()) > value.detach() + 1e-5


@every_loss
def test_no_graph_under_no_grad(case: Case, build: Build) -> None:
    loss = build(case)
    pred, target = random_pair(loss)
    saved: list[torch.Size] = []
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.shape) or t, lambda t: t):
            value = value_of(loss, pred, target, case)
        assert not value.requires_grad
    assert not saved


@every_loss
def test_float32_under_autocast(case: Case, build: Build, device: torch.device, loss_tolerance: Tolerance) -> None:
    loss = build(case)
    pred, target = random_pair(loss)
    want = value_of(loss, pred, target, case)
    with torch.autocast(device.type, torch.bfloat16):
        value = value_of(loss, pred, target, case)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(pred.grad).all()
    most = {key: max(0.03, allowed) for key, allowed in loss_tolerance.items()}
    torch.testing.assert_close(value, want, **most)


@every_loss
def test_a_batch_is_the_mean_of_its_images(case: Case, build: Build, loss_tolerance: Tolerance) -> None:
    loss = build(case)
    pred, target = random_pair(loss, batch=3)
    single = [value_of(loss, pred[i : i + 1], target[i : i + 1], case) for i in range(3)]
    torch.testing.assert_close(value_of(loss, pred, target, case), torch.stack(single).mean(), **loss_tolerance)


@every_loss
def test_terms_are_detached_and_add_up(case: Case, build: Build) -> None:
    loss = build(case)
    pred, target = random_pair(loss)
    value, terms = loss(pred, target, return_terms=True)
    assert all(term.ndim == 0 and not term.requires_grad for term in terms.values())
    torch.testing.assert_close(torch.stack(list(terms.values())).sum(), value.detach())


@every_loss
def test_encoded_target_gives_the_same_value_and_gradient(case: Case, build: Build) -> None:
    if not case.compares:
        pytest.skip("a no-reference loss has no target")
    loss = build(case)
    pred, target = random_pair(loss)
    encoded = loss.encode(target.requires_grad_())
    assert not any(value.requires_grad for value in encoded.features.values())
    (want,) = torch.autograd.grad(loss(pred, target), pred)
    (got,) = torch.autograd.grad(loss(pred, encoded), pred)
    torch.testing.assert_close(got, want)


@every_loss
def test_copies_are_equal_and_independent(case: Case, build: Build) -> None:
    loss = build(case)
    pred, target = random_pair(loss)
    want = value_of(loss, pred, target, case)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.testing.assert_close(value_of(other, pred, target, case), want)
        assert not any(parameter.requires_grad for parameter in other.scorer.parameters())
        assert {id(p) for p in other.scorer.parameters()}.isdisjoint(id(p) for p in loss.scorer.parameters())


@every_loss
def test_moving_a_parent_moves_the_scorer(case: Case, build: Build) -> None:
    loss = build(case)
    parent = Restorer(loss).to("meta")
    assert parent.body.weight.device.type == "meta"
    assert all(parameter.device.type == "meta" for parameter in loss.scorer.parameters())
    assert loss.scorer.mean.device.type == "meta"


@every_loss
def test_a_parent_neither_saves_nor_trains_the_scorer(case: Case, build: Build) -> None:
    parent = Restorer(build(case)).train()
    own = {"body.weight", "body.bias"} | {f"norm.{key}" for key in nn.BatchNorm2d(3).state_dict()}
    assert set(parent.state_dict()) == own
    assert {name for name, _ in parent.named_parameters()} == {"body.weight", "body.bias", "norm.weight", "norm.bias"}
    assert not parent.loss.scorer.training
    parent.load_state_dict(copy.deepcopy(parent.state_dict()), strict=True)


@every_loss
def test_backward_costs_no_more_than_one_forward_of_the_prediction(case: Case, build: Build) -> None:
    """No weight is differentiated, and the target branch has no graph: counted in FLOPs."""
    loss = build(case)
    pred, target = random_pair(loss)
    if case.compares:
        forward, value = total_flops(loss, pred, loss.encode(target))
        whole, _ = total_flops(loss, pred, target)
        encoding, _ = total_flops(loss.encode, target)
        assert whole == forward + encoding
        value = loss(pred, target)
    else:
        forward, value = total_flops(loss, pred)
    backward, _ = total_flops(torch.autograd.grad, value, pred)
    assert 0 < backward <= 1.05 * forward
