"""Restoration networks that learn beside a scorer to please it, and what they draw fools it; or its judges."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from iqaloss.evaluation.probes.gaming.networks import shrink


@dataclass(frozen=True)
class Opponent:
    """How one of the networks learns.

    Attributes:
        start: Number of the weights that it starts from, again and again.
        strength: How much the dimensions count beside L1.
        looks: How much the judges' distance counts beside L1, 1 being what L1 alone comes to.
        life: Steps after which it starts anew: a network that never does finds one blind spot and stays there.
        rate: Its learning rate.
    """

    start: int
    strength: float
    life: int
    rate: float
    looks: float = 0.0


OPPONENTS = (
    Opponent(0, 0.03, 140, 2e-4),
    Opponent(0, 0.1, 120, 2e-4),
    Opponent(0, 0.3, 100, 2e-4),
    Opponent(0, 1.0, 80, 2e-4),
    Opponent(1, 0.03, 140, 6e-4),
    Opponent(1, 0.1, 120, 6e-4),
    Opponent(1, 0.3, 100, 6e-4),
    Opponent(1, 1.0, 80, 6e-4),
    Opponent(0, 0.0, 140, 2e-4, looks=0.05),
    Opponent(1, 0.0, 140, 6e-4, looks=0.05),
)
"""Two architectures, weights from one that is recommended to ten times as much, and two that please the judges."""


def dimension_mixes(count: int, dimensions: int, generator: Generator) -> Tensor:
    """Returns weights ``[count, dimensions]`` that add up to one: equal ones for half of the rows, random ones else.

    Example:
        >>> dimension_mixes(4, 5, torch.Generator().manual_seed(0)).sum(dim=1)
        tensor([1., 1., 1., 1.])
    """
    mixes = torch.rand(count, dimensions, generator=generator).square()
    mixes[torch.rand(count, generator=generator) < 0.5] = 1.0
    return mixes / mixes.sum(dim=1, keepdim=True)


class Opponents:
    """Networks, each with its optimizer and its age.

    Args:
        starts: Trained x4 networks.
        dimensions: How many dimensions the scorer has.
        generator: Draws the first ages and mixes.
        plan: One entry for each opponent.
    """

    def __init__(
        self,
        starts: Sequence[nn.Module],
        dimensions: int,
        generator: Generator,
        plan: Sequence[Opponent] = OPPONENTS,
    ) -> None:
        self.starts, self.plan = starts, plan
        self.networks = [copy.deepcopy(starts[each.start]).requires_grad_(True) for each in plan]
        self.optimizers = [self._optimizer(number) for number in range(len(plan))]
        self.ages = [int(torch.randint(each.life, (), generator=generator)) for each in plan]
        self.mixes = dimension_mixes(len(plan), dimensions, generator)

    def _optimizer(self, number: int) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.networks[number].parameters(), self.plan[number].rate, betas=(0.9, 0.99))

    @torch.no_grad()
    def plain(self, originals: Tensor) -> list[Tensor]:
        """Returns what the starting networks make of the shrunk originals."""
        small = smaller(originals)
        return [network(small).clamp(0.0, 1.0) for network in self.starts]

    def draw(
        self,
        originals: Tensor,
        dimensions_of: Callable[[Tensor], Tensor],
        far_of: Callable[[Tensor], Tensor],
        generator: Generator,
    ) -> list[Tensor]:
        """Does one step of every network and returns what it drew before it.

        Args:
            originals: ``[B, 3, H, W]``; the networks see them at a quarter of the size.
            dimensions_of: Images to the dimensions' scores ``[N, D]``, with a graph.
            far_of: Versions ``[V, B, 3, H, W]`` to the judges' distances from the originals ``[V, B]``, with a graph.
            generator: Draws the mix of dimensions of those that start anew.
        """
        small, drawn = smaller(originals), []
        for number, opponent in enumerate(self.plan):
            if self.ages[number] >= opponent.life:
                self.networks[number].load_state_dict(self.starts[opponent.start].state_dict())
                self.optimizers[number], self.ages[number] = self._optimizer(number), 0
                self.mixes[number] = dimension_mixes(1, self.mixes.shape[1], generator)[0]
            self.ages[number] += 1
            drawn.append(self.networks[number](small))
        dimensions = dimensions_of(torch.cat(drawn).clamp(0.0, 1.0)).unflatten(0, (len(drawn), -1))
        terms = [
            F.l1_loss(restored, originals) - opponent.strength * (of_one * mix).sum(dim=1).mean()
            for restored, of_one, mix, opponent in zip(drawn, dimensions, self.mixes.to(dimensions), self.plan)
        ]
        liked = [number for number, opponent in enumerate(self.plan) if opponent.looks]
        if liked:
            far = far_of(torch.stack([drawn[number] for number in liked]).clamp(0.0, 1.0))
            terms += [self.plan[number].looks * one.mean() for number, one in zip(liked, far)]
        trained = [parameter for network in self.networks for parameter in network.parameters()]
        for parameter, gradient in zip(trained, torch.autograd.grad(torch.stack(terms).sum(), trained)):
            parameter.grad = gradient
        for optimizer in self.optimizers:
            optimizer.step()
        return [restored.detach().clamp(0.0, 1.0) for restored in drawn]

    def state_dict(self) -> dict[str, Any]:
        """Returns all that the next step depends on."""
        return {
            "networks": [network.state_dict() for network in self.networks],
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "ages": list(self.ages),
            "mixes": self.mixes,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what :meth:`state_dict` returned."""
        for network, optimizer, weights, moments in zip(
            self.networks, self.optimizers, state["networks"], state["optimizers"]
        ):
            network.load_state_dict(weights)
            optimizer.load_state_dict(moments)
        self.ages, self.mixes = list(state["ages"]), state["mixes"]


@torch.no_grad()
def smaller(originals: Tensor) -> Tensor:
    """Returns originals at a quarter of the size, in 8 bits."""
    return (255.0 * shrink(originals)).round() / 255.0
