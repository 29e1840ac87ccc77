"""The laws that hold for every registered scorer and every loss made of one."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from iqaloss import IQALoss, list_scorers
from iqaloss.scorers.base import Request
from testing.cases import CASES, Case, random_pair, tiny

every_loss = pytest.mark.parametrize("case", CASES, ids=str)
every_scorer = pytest.mark.parametrize("name", list_scorers())


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
def test_output_is_complete_and_ordered(name: str) -> None:
    scorer = tiny(name)
    images = random_pair(IQALoss(scorer))[1]
    out = scorer(images)
    assert out.score.shape == (2,)
    assert tuple(out.dimensions) == scorer.dimension_names
    assert tuple(out.features) == scorer.feature_names
    assert all(value.shape == (2,) for value in out.dimensions.values())
    assert all(value.ndim == 4 and value.shape[0] == 2 for value in out.features.values())


@every_scorer
def test_a_request_returns_what_was_asked_and_the_same_values(name: str) -> None:
    scorer = tiny(name)
    images = random_pair(IQALoss(scorer))[1]
    whole = scorer(images)
    for feature in scorer.feature_names:
        part = scorer(images, Request(features=(feature,)))
        assert list(part.features) == [feature]
        assert not part.dimensions
        torch.testing.assert_close(part.features[feature], whole.features[feature])
        with pytest.raises(ValueError, match="not computed"):
            _ = part.score
    for dimension in scorer.dimension_names:
        part = scorer(images, Request(dimensions=(dimension,)))
        assert list(part.dimensions) == [dimension]
        torch.testing.assert_close(part.dimensions[dimension], whole.dimensions[dimension])


@every_scorer
def test_frozen_scorer_ignores_a_parents_train(name: str) -> None:
    scorer = tiny(name)
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
def test_no_gradient_reaches_weights_or_target(case: Case) -> None:
    loss = case.loss()
    pred, target = random_pair(loss)
    target.requires_grad_()
    value_of(loss, pred, target, case).backward()
    assert pred.grad is not None
    assert target.grad is None
    assert all(parameter.grad is None for parameter in loss.scorer.parameters())


@every_loss
def test_gradient_is_finite_and_not_zero(case: Case) -> None:
    loss = case.loss()
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
def test_identical_images_are_at_the_minimum_of_a_full_reference_loss(case: Case) -> None:
    loss = case.loss()
    pred = random_pair(loss)[0]
    value, parts = loss(pred, pred.detach().clone(), return_terms=True)
    value.backward()
    assert torch.isfinite(pred.grad).all()
    compared = [part for name, part in parts.items() if name.startswith("fr_") or loss.mode == "fr"]
    assert len(compared) == (0 if loss.mode == "nr" else len(compared))
    for part in compared:
        torch.testing.assert_close(part, torch.zeros(()), atol=1e-5, rtol=0)
    other = random_pair(loss, seed=1)[1]
    if loss.mode == "fr":
        assert loss(other, pred.detach()) > value.detach() + 1e-5


@every_loss
def test_no_graph_under_no_grad(case: Case) -> None:
    loss = case.loss()
    pred, target = random_pair(loss)
    saved: list[torch.Size] = []
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.shape) or t, lambda t: t):
            value = value_of(loss, pred, target, case)
        assert not value.requires_grad
    assert not saved


@every_loss
def test_float32_under_autocast(case: Case) -> None:
    loss = case.loss()
    pred, target = random_pair(loss)
    want = value_of(loss, pred, target, case)
    with torch.autocast("cpu", torch.bfloat16):
        value = value_of(loss, pred, target, case)
    value.backward()
    assert value.dtype == torch.float32
    assert torch.isfinite(pred.grad).all()
    torch.testing.assert_close(value, want, rtol=0.03, atol=0.03)


@every_loss
def test_a_batch_is_the_mean_of_its_images(case: Case) -> None:
    loss = case.loss()
    pred, target = random_pair(loss, batch=3)
    single = [value_of(loss, pred[i : i + 1], target[i : i + 1], case) for i in range(3)]
    torch.testing.assert_close(value_of(loss, pred, target, case), torch.stack(single).mean(), rtol=1e-4, atol=1e-5)


@every_loss
def test_parts_are_detached_and_add_up(case: Case) -> None:
    loss = case.loss()
    pred, target = random_pair(loss)
    value, parts = loss(pred, target, return_terms=True)
    assert all(part.ndim == 0 and not part.requires_grad for part in parts.values())
    torch.testing.assert_close(torch.stack(list(parts.values())).sum(), value.detach())


@every_loss
def test_encoded_target_gives_the_same_value_and_gradient(case: Case) -> None:
    if not case.compares:
        pytest.skip("a no-reference loss has no target")
    loss = case.loss()
    pred, target = random_pair(loss)
    encoded = loss.encode(target.requires_grad_())
    assert not any(value.requires_grad for value in encoded.features.values())
    (want,) = torch.autograd.grad(loss(pred, target), pred)
    (got,) = torch.autograd.grad(loss(pred, encoded), pred)
    torch.testing.assert_close(got, want)


@every_loss
def test_copies_are_equal_and_independent(case: Case) -> None:
    loss = case.loss()
    pred, target = random_pair(loss)
    want = value_of(loss, pred, target, case)
    for other in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        torch.testing.assert_close(value_of(other, pred, target, case), want)
        assert not any(parameter.requires_grad for parameter in other.scorer.parameters())
        assert {id(p) for p in other.scorer.parameters()}.isdisjoint(id(p) for p in loss.scorer.parameters())


@every_loss
def test_moving_a_parent_moves_the_scorer(case: Case) -> None:
    loss = case.loss()
    parent = Restorer(loss).to("meta")
    assert parent.body.weight.device.type == "meta"
    assert all(parameter.device.type == "meta" for parameter in loss.scorer.parameters())
    assert loss.scorer.mean.device.type == "meta"


@every_loss
def test_a_parent_neither_saves_nor_trains_the_scorer(case: Case) -> None:
    parent = Restorer(case.loss()).train()
    own = {"body.weight", "body.bias"} | {f"norm.{key}" for key in nn.BatchNorm2d(3).state_dict()}
    assert set(parent.state_dict()) == own
    assert {name for name, _ in parent.named_parameters()} == {"body.weight", "body.bias", "norm.weight", "norm.bias"}
    assert not parent.loss.scorer.training
    parent.load_state_dict(copy.deepcopy(parent.state_dict()), strict=True)


def count(function: object, *arguments: object) -> tuple[int, Tensor]:
    with FlopCounterMode(display=False) as counter:
        result = function(*arguments)  # type: ignore[operator]
    return counter.get_total_flops(), result


@every_loss
def test_backward_costs_no_more_than_one_forward_of_the_prediction(case: Case) -> None:
    """No weight is differentiated, and the target branch has no graph: counted in FLOPs."""
    loss = case.loss()
    pred, target = random_pair(loss)
    if case.compares:
        forward, value = count(loss, pred, loss.encode(target))
        whole, _ = count(loss, pred, target)
        encoding, _ = count(loss.encode, target)
        assert whole == forward + encoding
        value = loss(pred, target)
    else:
        forward, value = count(loss, pred)
    backward, _ = count(torch.autograd.grad, value, pred)
    assert 0 < backward <= 1.05 * forward
