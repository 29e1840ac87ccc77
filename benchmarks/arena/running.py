"""One training of one contestant, and what is measured of its pictures."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.arena.contestants import Distance
from benchmarks.arena.networks import load_network
from benchmarks.arena.photos import patches
from benchmarks.arena.physical import PHYSICAL
from benchmarks.arena.tasks import TASKS
from iqaloss.evaluation.panel import Panel
from iqaloss.evaluation.patterns import pattern_rise
from iqaloss.evaluation.probes.gaming.measure import as_saved
from iqaloss.scorers.base import Request, Scorer

AT_ONCE = 8
"""Pictures that are restored and measured at once."""


@dataclass(frozen=True)
class Budget:
    """How long and on what each contestant trains.

    Attributes:
        steps: Steps of Adam; ignored where ``seconds`` is given.
        seconds: Time that the steps may take together: of processor on a CPU, where other work would stretch the
            clock's, else by the clock.
        batch: Patches in a step.
        patch: Side of the original patches.
        rate: Highest learning rate: it is reached after a tenth of the budget and falls to zero along a cosine, for
            a network that is still moving leaves patterns of its own, with L1 alone too.
    """

    steps: int = 250
    seconds: float | None = None
    batch: int = 4
    patch: int = 128
    rate: float = 1e-4

    def spent(self, steps: int, seconds: float) -> float:
        """Returns the share of the budget that is gone."""
        return steps / self.steps if self.seconds is None else seconds / self.seconds

    def rate_at(self, spent: float) -> float:
        """Returns the learning rate when this share of the budget is gone.

        Example:
            >>> Budget(rate=1.0).rate_at(0.1), round(Budget(rate=1.0).rate_at(1.0), 6)
            (1.0, 0.0)
        """
        if spent < WARMUP:
            return self.rate * max(spent, 0.01) / WARMUP
        return self.rate * (1 + math.cos(math.pi * (spent - WARMUP) / (1 - WARMUP))) / 2


WARMUP = 0.1


@dataclass(frozen=True)
class Setting:
    """What all contestants share.

    Attributes:
        task: Name of the task.
        network: Name of the network.
        start: File that it starts from.
        budget: Length of the trainings.
        photos: Originals to learn from, bytes.
        originals: Crops to compare on, ``[N, 3, H, W]`` in [0, 1], with the photographs of them where the task is
            paired, ``[N, 6, H, W]``.
        device: Where networks train and restore; pictures are drawn and degraded on the CPU, alike for every device.
    """

    task: str
    network: str
    start: Path
    budget: Budget
    photos: list[Tensor]
    originals: Tensor
    device: str = "cpu"

    @property
    def truth(self) -> Tensor:
        """The originals alone ``[N, 3, H, W]``."""
        return self.originals[:, :3]

    def facts(self) -> dict[str, Any]:
        """What a stored run must have been made with to be kept."""
        return {
            "task": self.task,
            "network": self.network,
            "start": self.start.name,
            "photos": len(self.photos),
            "originals": list(self.originals.shape),
            **asdict(self.budget),
        }


def train(setting: Setting, distance: Distance | None, weight: float, seed: int) -> tuple[nn.Module, int, float]:
    """Fine-tunes the network with L1 plus the weighted distance.

    Returns:
        The network, the number of steps, and the seconds that they took.
    """
    torch.manual_seed(seed)  # losses that draw, draw from here
    budget, task = setting.budget, TASKS[setting.task]
    network = load_network(setting.network, setting.start).train().to(setting.device)
    optimizer = torch.optim.Adam(network.parameters(), budget.rate, betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(seed)
    clock = time.process_time if torch.device(setting.device).type == "cpu" else time.perf_counter
    steps, taken, began = 0, 0.0, clock()
    for some in patches(setting.photos, budget.batch, budget.patch, seed):
        truth = some[:, :3].to(setting.device)
        pred = network(task.degrade(some, generator).to(setting.device))
        loss = F.l1_loss(pred, truth)
        if distance is not None and weight:
            loss = loss + weight * distance(pred, truth)
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = budget.rate_at(min(1.0, budget.spent(steps, taken)))
        optimizer.step()
        steps, taken = steps + 1, clock() - began
        if budget.spent(steps, taken) >= 1:
            break
    return network.eval(), steps, taken


def restore(setting: Setting, network: nn.Module) -> Tensor:
    """Restores the crops to compare on, as files would hold them."""
    degrade, generator = TASKS[setting.task].degrade, torch.Generator().manual_seed(0)
    inputs = degrade(setting.originals, generator)
    with torch.no_grad():
        return torch.cat([as_saved(network(some.to(setting.device)).cpu()) for some in inputs.split(AT_ONCE)])


def measure(restored: Tensor, originals: Tensor, panel: Panel, scorer: Scorer) -> dict[str, list[float]]:
    """Measures pictures against their originals: name to a value for each.

    Args:
        restored, originals: On the CPU; panel and scorer look at them where they are.
        panel: The judges.
        scorer: Ours.
    """
    found: dict[str, list[Tensor]] = {}
    for some, truth in zip(restored.split(AT_ONCE), originals.split(AT_ONCE)):
        for name, value in _measures(some, truth, panel, scorer):
            found.setdefault(name, []).append(value.detach().double().cpu())
    return {name: torch.cat(values).tolist() for name, values in found.items()}


@torch.no_grad()
def _measures(restored: Tensor, truth: Tensor, panel: Panel, scorer: Scorer) -> Iterator[tuple[str, Tensor]]:
    yield from panel.measure(restored, truth).items()
    output = scorer(restored.to(panel.device), Request(score=True, dimensions=scorer.dimension_names))
    yield "score", output.score
    yield from output.dimensions.items()
    yield "pattern", pattern_rise(restored, truth)
    for name, physical in PHYSICAL.items():
        yield name, physical(restored, truth)
