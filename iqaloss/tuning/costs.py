"""What a step costs: floating point operations, counted, and seconds, measured on one step that changes nothing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from iqaloss.tuning.objective import Objective


@dataclass(frozen=True)
class StepCost:
    """What a step costs.

    Attributes:
        flops: Floating point operations there and back, by what they are for: ``network`` and each loss.
        seconds: What one step took here.
    """

    flops: Mapping[str, int]
    seconds: float

    def lines(self, steps: int) -> list[str]:
        """Says what a step, and all of them, cost.

        Example:
            >>> StepCost({"network": 3_000_000_000, "MDIQALoss": 1_000_000_000}, 0.5).lines(120)
            ['a step: 4.00 GFLOP, network 75 %, MDIQALoss 25 %', '120 steps take about 1 min here (0.50 s each)']
        """
        total = sum(self.flops.values()) or 1
        shares = ", ".join(f"{name} {100 * part / total:.0f} %" for name, part in self.flops.items())
        return [
            f"a step: {total / 1e9:.2f} GFLOP, {shares}",
            f"{steps} steps take about {lasting(steps * self.seconds)} here ({self.seconds:.2f} s each)",
        ]


def lasting(seconds: float) -> str:
    """Returns a time as people say it.

    Example:
        >>> lasting(42), lasting(600), lasting(9000)
        ('42 s', '10 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class _Whole(contextlib.nullcontext[None]):
    """Counts for no module, in place of torch's tracker, whose hooks fail under ``autograd.grad``."""

    parents = frozenset({"Global"})


def counted(function: Callable[[], Any]) -> tuple[int, Any]:
    """Returns how many floating point operations a function takes, and what it returns."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _Whole()  # type: ignore[assignment]
    with counter:
        found = function()
    return sum(counter.get_flop_counts().get("Global", {}).values()), found


def measure_step(
    forward: Callable[[Tensor], Tensor], network: nn.Module, objective: Objective, inputs: Tensor, target: Tensor
) -> StepCost:
    """Counts and times one step of forward and backward passes; weights, gradients and random states stay as they were.

    Args:
        forward: Runs the network on inputs of any size.
        network: Whose gradients are taken.
        objective: What is minimised.
        inputs: A batch.
        target: Its true images.
    """
    weights = [weight for weight in network.parameters() if weight.requires_grad]
    flops: dict[str, int] = {}
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        there, pred = counted(lambda: forward(inputs))
        pixels = pred.detach().requires_grad_()
        for name, loss in objective.losses.items():
            flops[name], _ = counted(lambda loss=loss: torch.autograd.grad(loss(pixels, target), pixels))  # type: ignore[misc]
        back, _ = counted(lambda: torch.autograd.grad(pred.mean(), weights, allow_unused=True))
        finished(inputs)
        start = time.perf_counter()
        total, _terms = objective(forward(inputs), target)
        torch.autograd.grad(total, weights, allow_unused=True)
        finished(inputs)
    return StepCost({"network": there + back, **flops}, time.perf_counter() - start)


def finished(like: Tensor) -> None:
    """Returns when the device of a tensor has done what it was asked for."""
    if like.is_cuda:
        torch.cuda.synchronize(like.device)
