"""The laws that an adapter to a training framework must keep, whatever it makes of our losses.

Write an :class:`Adapter` for the framework and run every law on it, as `tests/integrations/test_adapter_laws.py` does:

    @pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
    def test_my_framework(law):
        law(Adapter("mine", build=my_builder, value=lambda module, pred, target: module(pred, target), want=plain_loss))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from iqaloss import IQALoss
from testing.cases import random_pair

Compare = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Adapter:
    """One way in which a framework gets and calls a loss.

    Attributes:
        name: What the test calls it.
        build: Builds, from a loss's options, the module that the framework holds; skips where it is not installed.
        value: Calls that module as the framework does, with prediction and target, and returns the loss.
        want: What the loss says by itself, without the framework, for the default options.
    """

    name: str
    build: Callable[..., nn.Module]
    value: Callable[[nn.Module, Tensor, Tensor], Tensor]
    want: Compare

    def __str__(self) -> str:
        return self.name


def losses_in(module: nn.Module) -> list[IQALoss]:
    """The losses that a module holds."""
    return [inner for inner in module.modules() if isinstance(inner, IQALoss)]


def images_for(module: nn.Module) -> tuple[Tensor, Tensor]:
    return random_pair(losses_in(module)[0])


def the_value_is_that_of_the_plain_loss(adapter: Adapter) -> None:
    module = adapter.build()
    pred, target = images_for(module)
    torch.testing.assert_close(adapter.value(module, pred, target), adapter.want(pred, target), rtol=1e-5, atol=1e-6)


def options_reach_the_loss(adapter: Adapter) -> None:
    module = adapter.build(loss_weight=0.5)
    pred, target = images_for(module)
    want = 0.5 * adapter.want(pred, target)
    torch.testing.assert_close(adapter.value(module, pred, target), want, rtol=1e-5, atol=1e-6)


def options_against_gaming_reach_the_loss(adapter: Adapter) -> None:
    given = {"prefilter": 0.8, "augment": ["flip", "resize"], "max_gradient_norm": 1.0, "gradient_smoothing": 0.5}
    module = adapter.build(**given, tile=48, loss_weight={0: 0.0, 10: 1.0})
    pred, target = images_for(module)
    for loss in losses_in(module):
        assert (loss.inputs.prefilter, loss.inputs.tile, loss.limits.longest) == (0.8, 48, 1.0)
        loss.set_step(5)
        assert loss.loss_weight == 0.5
    (gradient,) = torch.autograd.grad(adapter.value(module, pred, target), pred)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def the_gradient_reaches_the_prediction_and_nothing_else(adapter: Adapter) -> None:
    module = adapter.build()
    pred, target = images_for(module)
    adapter.value(module, pred, target.requires_grad_()).backward()
    assert pred.grad is not None
    assert torch.isfinite(pred.grad).all()
    assert pred.grad.abs().max() > 0
    assert target.grad is None
    for loss in losses_in(module):
        assert not any(weight.requires_grad or weight.grad is not None for weight in loss.scorer.parameters())


def whoever_holds_it_neither_saves_nor_trains_the_scorer(adapter: Adapter) -> None:
    holder = nn.ModuleDict({"net": nn.Conv2d(3, 3, 1), "loss": adapter.build()})
    assert set(holder.state_dict()) == {"net.weight", "net.bias"}
    assert {name for name, _ in holder.named_parameters()} == {"net.weight", "net.bias"}


def a_holders_train_leaves_the_scorer_in_eval(adapter: Adapter) -> None:
    module = adapter.build()
    nn.ModuleDict({"loss": module}).train()
    assert losses_in(module)
    assert not any(inner.training for loss in losses_in(module) for inner in loss.scorer.modules())


def the_value_is_finite_and_float32_under_autocast(adapter: Adapter) -> None:
    module = adapter.build()
    pred, target = images_for(module)
    with torch.autocast(pred.device.type, torch.bfloat16):
        value = adapter.value(module, pred, target)
    assert value.dtype == torch.float32
    assert torch.isfinite(value)
    assert torch.isfinite(torch.autograd.grad(value, pred)[0]).all()


def an_unknown_option_names_the_nearest(adapter: Adapter) -> None:
    with pytest.raises(ValueError, match=r"unknown option 'loss_wieght'; did you mean 'loss_weight'"):
        adapter.build(loss_wieght=2.0)


def an_old_name_names_the_new_one(adapter: Adapter) -> None:
    with pytest.raises(ValueError, match="'chunk' is called 'micro_batch'"):
        adapter.build(chunk=2)


LAWS: tuple[Callable[[Adapter], None], ...] = (
    the_value_is_that_of_the_plain_loss,
    options_reach_the_loss,
    options_against_gaming_reach_the_loss,
    the_gradient_reaches_the_prediction_and_nothing_else,
    whoever_holds_it_neither_saves_nor_trains_the_scorer,
    a_holders_train_leaves_the_scorer_in_eval,
    the_value_is_finite_and_float32_under_autocast,
    an_unknown_option_names_the_nearest,
    an_old_name_names_the_new_one,
)
