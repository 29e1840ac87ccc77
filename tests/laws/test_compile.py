"""Losses as compiled and exported graphs: no graph break, the same value and gradient.

A few losses are compiled and exported with every run of the tests; the others are marked slow, for tracing a network
takes longer than a few steps of training, and run in CI (`make graphs`). Generated code takes minutes: `make slow`.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from testing.cases import CASES, Case, random_pair

COMPILED = ("pmt-iqa-fr", "mdiqa-mobile-both")
EXPORTED = ("lar-iqa-both", "moe-agiqa-both", "pmt-iqa-fr", "sr-iqa-both")


def every_loss(quick: tuple[str, ...]) -> pytest.MarkDecorator:
    """Runs a test over every loss, all but some marked slow."""
    marked = [pytest.param(case, marks=() if str(case) in quick else pytest.mark.slow) for case in CASES]
    return pytest.mark.parametrize("case", marked, ids=str)


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


@every_loss(COMPILED)
def test_compiles_to_one_graph(case: Case) -> None:
    compare_compiled(case, "eager")


@pytest.mark.slow
def test_compiles_to_generated_code() -> None:
    case = next(case for case in CASES if str(case) == "mdiqa-mobile-weighted-both")
    compare_compiled(case, "inductor", tolerance=1e-3)


@every_loss(EXPORTED)
def test_exports(case: Case) -> None:
    images = images_of(case)
    program = torch.export.export(Step(case), images, strict=False)
    assert_same(program.module()(*images), case.loss()(*images), images[0])


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if str(case) in EXPORTED], ids=str)
def test_exports_strictly(case: Case) -> None:
    images = images_of(case)
    program = torch.export.export(Step(case), images, strict=True)
    assert_same(program.module()(*images), case.loss()(*images), images[0])
