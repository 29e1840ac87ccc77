"""Losses as compiled and exported graphs: no graph break, the same value and gradient.

Tracing a network takes longer than a few steps of training. A few losses are therefore compiled and exported with every
run of the tests; in CI (`make graphs`) as many as see each scorer, each mode and each form or option at least once; and
all of them, and generated code, in `make slow`.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from iqaloss import IQALoss
from iqaloss.losses.loss_terms import MODES
from iqaloss.scorers.factory import create_tiny
from iqaloss.scorers.image_checks import fix_size
from testing.cases import CASES, TRACED, Case, random_pair

COMPILED = ("pmt-iqa-fr", "mdiqa-mobile-both")
EXPORTED = ("lar-iqa-both", "moe-agiqa-both", "pmt-iqa-fr", "sr-iqa-both")


def trait(case: Case) -> str:
    """What a loss is there to show: the form or option that it has, or else its scorer."""
    form = case.label.rpartition("-")[0]
    return form or case.scorer


def chosen(quick: tuple[str, ...], turn: int) -> set[str]:
    """Names of one loss for each trait, the modes and scorers taking turns; a quick one where the trait has one."""
    alike: dict[str, list[str]] = {}
    for case in CASES:
        alike.setdefault(trait(case), []).append(str(case))
    picked = set(quick)
    for number, names in enumerate(alike.values()):
        if not picked & set(names):
            picked.add(names[(number + turn) % len(names)])
    return picked


def every_loss(quick: tuple[str, ...], turn: int) -> pytest.MarkDecorator:
    """Runs a test over every loss: a few always, those that see everything once in CI, the others marked slow alone."""
    in_ci = chosen(quick, turn)

    def marks(case: Case) -> list[pytest.MarkDecorator]:
        if str(case) in quick:
            return []
        return [pytest.mark.slow, pytest.mark.graphs] if str(case) in in_ci else [pytest.mark.slow]

    return pytest.mark.parametrize("case", [pytest.param(case, marks=marks(case)) for case in CASES], ids=str)


@pytest.mark.parametrize(("quick", "turn"), [(COMPILED, 0), (EXPORTED, 1)], ids=["compiled", "exported"])
def test_every_scorer_mode_and_form_is_among_the_chosen(quick: tuple[str, ...], turn: int) -> None:
    picked = [case for case in CASES if str(case) in chosen(quick, turn)]
    assert {case.scorer for case in picked} == {case.scorer for case in CASES}
    assert {trait(case) for case in picked} == {trait(case) for case in CASES}
    assert {case.label.rpartition("-")[2] for case in picked} == set(MODES)


class Step(nn.Module):
    """A loss as the root of an exported program."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.loss = case.loss()

    def forward(self, *images: Tensor) -> Tensor:
        return self.loss(*images)


def images_of(case: Case) -> tuple[Tensor, ...]:
    pred, target = random_pair(case.loss())
    return (pred, target) if case.compares else (pred,)


def assert_same(got: Tensor, want: Tensor, pred: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)
    gradients = [torch.autograd.grad(value, pred)[0] for value in (got, want)]
    torch.testing.assert_close(*gradients, rtol=0, atol=tolerance * gradients[1].abs().max().item())


def compare_compiled(case: Case, backend: str, tolerance: float = 1e-5) -> None:
    torch.compiler.reset()
    loss, images = case.loss(), images_of(case)
    step = torch.compile(loss, fullgraph=True, backend=backend)
    assert_same(step(*images), case.loss()(*images), images[0], tolerance)


@TRACED
@every_loss(COMPILED, turn=0)
def test_compiles_to_one_graph(case: Case) -> None:
    compare_compiled(case, "eager")


@pytest.mark.slow
@TRACED
def test_compiles_to_generated_code() -> None:
    case = next(case for case in CASES if str(case) == "mdiqa-mobile-weighted-both")
    compare_compiled(case, "inductor", tolerance=1e-3)


@TRACED
@every_loss(EXPORTED, turn=1)
def test_exports(case: Case) -> None:
    images = images_of(case)
    program = torch.export.export(Step(case), images, strict=False)
    assert_same(program.module()(*images), case.loss()(*images), images[0])


@pytest.mark.slow
@pytest.mark.graphs
@TRACED
@pytest.mark.parametrize("case", [case for case in CASES if str(case) in EXPORTED], ids=str)
def test_exports_strictly(case: Case) -> None:
    images = images_of(case)
    program = torch.export.export(Step(case), images, strict=True)
    assert_same(program.module()(*images), case.loss()(*images), images[0])


class Sizes:
    """A backend that notes how many sizes of each graph are formulas, as in one graph for all of them."""

    def __init__(self) -> None:
        self.formulas: list[int] = []

    def __call__(self, graph: Any, inputs: list[Any]) -> Any:
        self.formulas.append(sum(not isinstance(each, Tensor) for each in inputs))
        return graph


def test_a_size_that_is_fixed_is_a_number_in_the_graph() -> None:
    def padded(images: Tensor) -> Tensor:
        fix_size(images)
        for _ in range(3):
            images = nn.functional.pad(images, (0, -images.shape[-1] % 3, 0, -images.shape[-2] % 3))[..., ::2, ::2]
        return images

    torch.compiler.reset()
    sizes = Sizes()
    step = torch.compile(padded, fullgraph=True, backend=sizes)
    for side in (64, 66, 71):
        images = torch.rand(1, 3, side, side + 1)
        assert torch.equal(step(images), padded(images))
    assert sizes.formulas == [0, 0, 0]


@pytest.mark.slow
@TRACED
@pytest.mark.parametrize("mode", MODES)
def test_a_second_and_a_third_size_compile_in_the_time_of_the_first(mode: str) -> None:
    """With timm's padding, whose sizes are formulas in formulas, one graph for all sizes was never done."""
    torch.compiler.reset()
    sizes, loss = Sizes(), IQALoss(create_tiny("lar-iqa"), mode=mode)
    step, seconds = torch.compile(loss, fullgraph=True, backend=sizes), []
    for side in (64, 96, 80):
        pred, target = torch.rand(2, 1, 3, side, side)
        start = time.process_time()
        assert_same(step(pred.requires_grad_(), target), loss(pred, target), pred)
        seconds.append(time.process_time() - start)
    assert max(sizes.formulas) <= 1  # a side of the target, which no padding asks for
    assert max(seconds[1:]) < 2 * seconds[0] + 5, seconds


@pytest.mark.slow
@TRACED
def test_a_scorer_that_says_so_has_one_graph_for_all_sizes() -> None:
    torch.compiler.reset()
    sizes, loss = Sizes(), IQALoss(create_tiny("pmt-iqa"), mode="nr")
    step = torch.compile(loss, fullgraph=True, backend=sizes)
    for side in (64, 96):
        pred = torch.rand(1, 3, side, side, requires_grad=True)
        assert_same(step(pred), loss(pred), pred)
    assert sizes.formulas == [0, 2]
