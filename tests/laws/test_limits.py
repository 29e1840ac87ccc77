"""The limit of a loss made of a frozen network: one forward pass and one backward pass to the input.

Everything is counted at tiny size; the ratios of full-size scorers are in the benchmark of the losses' cost.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from iqaloss import IQALoss, MDIQALoss
from iqaloss.losses import EncodedTarget, guard
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.mdiqa import MDIQA
from iqaloss.scorers.mdiqa.config import TECHNICAL
from testing.cases import CASES, Case, random_pair, tiny
from testing.costs import NoWaiting, flops, saved_bytes

every_loss = pytest.mark.parametrize("case", CASES, ids=str)
Build = Callable[[Case], IQALoss]

PRODUCTS = {"aten.bmm": 2.0, "aten._scaled_dot_product": 2.5}
"""Products of two tensors that both depend on the image: each has two derivatives, so that the way back costs twice
the way forward; fused attention (two products) also computes its matrix again: five products for two."""


@dataclass(frozen=True)
class Costs:
    """What one loss and the bare scorer cost: FLOPs by operator, and bytes kept for the backward pass."""

    forward: Counter[str]
    backward: Counter[str]
    whole: Counter[str]
    bare: Counter[str]
    bare_target: Counter[str]
    saved: int
    saved_bare: int
    saved_with_target: int


def tensors_of(scorer: Scorer, *images: Tensor) -> list[Tensor]:
    return [*scorer.parameters(), *scorer.buffers(), *images]


@functools.cache
def costs(case: Case, build: Build) -> Costs:
    loss = build(case)
    scorer = loss.scorer
    pred, target = random_pair(loss)
    target.requires_grad_()
    loss(pred, target)  # what is computed once is computed now
    known = tensors_of(scorer, pred, target)
    encoded = loss.encode(target) if case.compares else EncodedTarget()
    known += encoded.features.values()

    def step(reference: Tensor | EncodedTarget) -> Tensor:
        return loss(pred, reference) if case.compares else loss(pred)

    forward, value = flops(step, encoded)
    backward, _ = flops(torch.autograd.grad, value, pred)
    whole, _ = flops(lambda: step(target).backward())
    bare, _ = flops(lambda: scorer(pred, loss.request(), **loss.conditions()))
    compared = Request(features=loss.compared_features())
    bare_target, _ = flops(lambda: scorer(target, compared, **loss.conditions())) if case.compares else (Counter(), 0)
    saved, _ = saved_bytes(lambda: step(encoded), known)
    saved_with_target, _ = saved_bytes(lambda: step(target), known)
    saved_bare, _ = saved_bytes(lambda: scorer(pred, loss.request(), **loss.conditions()), known)
    return Costs(forward, backward, whole, bare, bare_target, saved, saved_bare, saved_with_target)


@every_loss
def test_backward_flops_are_at_most_forward_flops(case: Case, build: Build) -> None:
    """No weight gradient: 2 % are left for attention, whose products have two derivatives."""
    found = costs(case, build)
    assert 0 < found.backward.total() <= 1.02 * found.forward.total()


@every_loss
def test_without_attention_backward_flops_never_exceed_forward_flops(case: Case, build: Build) -> None:
    """What exceeds one forward is attention's second derivative, and nothing else."""
    found = costs(case, build)
    allowed = 0.0
    for operator, count in found.forward.items():
        allowed += count * next((factor for name, factor in PRODUCTS.items() if operator.startswith(name)), 1.0)
    assert found.backward.total() <= allowed
    convolutions = found.forward["aten.convolution"]
    assert found.backward["aten.convolution_backward"] <= convolutions
    linear = sum(found.forward[f"aten.{name}"] for name in ("mm", "addmm"))
    assert found.backward["aten.mm"] + found.backward["aten.addmm"] <= linear


@every_loss
def test_a_step_costs_the_bare_network_and_no_more(case: Case, build: Build) -> None:
    """Forward of the prediction, backward of the prediction, forward of the target; encoded, without the last."""
    found = costs(case, build)
    assert found.forward.total() == found.bare.total()
    assert found.whole.total() <= found.bare.total() + found.backward.total() + found.bare_target.total()


@every_loss
def test_saved_bytes_are_those_of_the_bare_network(case: Case, build: Build) -> None:
    """And one difference of every map that is compared."""
    found, loss = costs(case, build), build(case)
    maps = loss.encode(random_pair(loss)[1]).features.values() if case.compares else ()
    assert 0 < found.saved <= 1.05 * found.saved_bare + sum(each.numel() * each.element_size() for each in maps)
    assert found.saved_with_target == found.saved


@every_loss
def test_nothing_is_saved_for_the_target(case: Case, build: Build) -> None:
    if not case.compares:
        pytest.skip("a no-reference loss has no target")
    loss = build(case)
    target = random_pair(loss)[1].requires_grad_()
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        encoded = loss.encode(target)
    assert not kept
    assert not any(value.requires_grad for value in encoded.features.values())


# --- nothing runs that has no effect ---


@every_loss
def test_every_layer_that_runs_changes_the_loss(case: Case, build: Build) -> None:
    """Heads of weight zero, levels that nobody reads and whatever lies behind the last compared map stay idle."""
    loss = build(case)
    scorer, (pred, target) = loss.scorer, random_pair(loss)
    reference = loss.encode(target) if case.compares else None
    scorer.requires_grad_(True)
    ran: dict[str, nn.Module] = {}
    for name, module in scorer.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            module.register_forward_hook(
                lambda module, _, out, name=name: ran.__setitem__(name, module) if torch.is_grad_enabled() else None
            )
    loss(pred, reference).backward()
    idle = [
        f"{name}.{key}"
        for name, module in ran.items()
        for key, parameter in module.named_parameters(recurse=False)
        if parameter.grad is None
    ]
    assert ran
    assert not idle


def single_head(scorer: MDIQA, dimension: str) -> MDIQA:
    """The same architecture with one dimension only."""
    branch = next(branch for branch in scorer.config.branches if dimension in branch.dimensions)
    config = replace(scorer.config, branches=(replace(branch, dimensions=(dimension,)),))
    return MDIQA(replace(scorer.card, dimensions=(dimension,)), config).freeze()


def step_flops(loss: IQALoss, pred: Tensor, target: Tensor) -> int:
    return flops(lambda: loss(pred, target).backward())[0].total()


@pytest.mark.parametrize("mode", ["nr", "fr", "both"])
@pytest.mark.parametrize("name", ["mdiqa", "mdiqa-mobile"])
def test_one_dimension_costs_what_a_single_head_network_costs(name: str, mode: str) -> None:
    scorer = tiny(name)
    assert isinstance(scorer, MDIQA)
    pred, target = random_pair(IQALoss(scorer))
    for dimension in (scorer.dimension_names[0], scorer.dimension_names[-1]):
        weights = dict.fromkeys(scorer.dimension_names, 0.0) | {dimension: 1.0}
        cost = step_flops(MDIQALoss(weights, mode, scorer), pred, target)
        assert cost <= step_flops(MDIQALoss(None, mode, single_head(scorer, dimension)), pred, target)


@pytest.mark.parametrize(("mode", "compare_levels"), [("nr", True), ("fr", False), ("fr", True)])
def test_each_further_dimension_costs_one_head_and_nothing_where_levels_are_compared(
    mode: str, compare_levels: bool
) -> None:
    mobile = tiny("mdiqa-mobile")
    scorer = MDIQA(mobile.card, replace(mobile.config, compare_levels=compare_levels)).freeze()
    pred, target = random_pair(IQALoss(scorer))
    found = [
        step_flops(MDIQALoss({name: float(i < count) for i, name in enumerate(TECHNICAL)}, mode, scorer), pred, target)
        for count in range(1, len(TECHNICAL) + 1)
    ]
    steps = {after - before for before, after in pairwise(found)}
    assert len(steps) == 1
    assert (min(steps) > 0) == (mode == "nr" or not compare_levels)


class NotWanted(nn.Module):
    """Stands where nothing may run."""

    def forward(self, *_: object) -> Tensor:
        raise AssertionError("this has no effect on the loss")


def test_clip_stays_idle_where_no_score_needs_it() -> None:
    scorer = tiny("mdiqa")
    scorer.clip = NotWanted()
    pred, target = random_pair(IQALoss(scorer))
    for loss in (MDIQALoss(None, "both", scorer), MDIQALoss(None, "fr", scorer, form="fused"), IQALoss(scorer, "fr")):
        loss(pred, target).backward()
    with pytest.raises(AssertionError, match="no effect"):
        IQALoss(scorer, "nr")(pred)


# --- nothing waits ---


@every_loss
def test_the_forward_pass_reads_no_value(case: Case, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the first call has been looked at; this CPU stands for a device that answers late."""
    loss = build(case)
    pred, target = random_pair(loss)
    loss(pred, target)
    monkeypatch.setattr(guard, "answers_at_once", lambda device: False)
    with NoWaiting():
        value = loss(pred, target)
    assert value.requires_grad
    loss.check()


RUNS_ALL = ("lar-iqa-both", "mdiqa-mobile-both", "moe-agiqa-both", "pmt-iqa-both", "sr-iqa-both")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if str(case) in RUNS_ALL else pytest.mark.slow) for case in CASES], ids=str
)
def test_the_forward_pass_copies_nothing_between_host_and_device(case: Case, build: Build) -> None:
    """On the meta device, the device's tensors are told from the host's, and none has a value to read."""
    loss = build(case).to("meta")
    pred, target = (image.detach().to("meta") for image in random_pair(loss))
    with NoWaiting():
        value = loss(pred.requires_grad_(), target)
    assert value.is_meta
