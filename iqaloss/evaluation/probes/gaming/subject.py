"""The loss on trial: its score, at a weight of one, and its gradient by the pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from iqaloss.evaluation.probes.gaming.spec import LAST_STEP, recommended_weight
from iqaloss.losses.registry import LossSpec
from iqaloss.scorers.base import Scorer

DRAWS = 4
"""How often a loss with random options is drawn for its score."""


@dataclass(frozen=True)
class Subject:
    """A loss on trial.

    Attributes:
        title: What it is called.
        weight: Its recommended weight beside an L1 loss.
        loss: ``(pred, target)``, ``[B, 3, H, W]`` in [0, 1] each, to the loss of each image ``[B]`` at a weight of 1.
        device: Where it runs.
        taught_by: Families of judges that its scorer learnt from: they have no say over it.
    """

    title: str
    weight: float
    loss: Callable[[Tensor, Tensor], Tensor]
    device: str = "cpu"
    taught_by: tuple[str, ...] = ()

    @torch.no_grad()
    def score(self, images: Tensor, target: Tensor) -> Tensor:
        """Returns 1 minus the loss ``[B]``, on the CPU: the score of a scorer that was trained to [0, 1].

        What is random in the loss is drawn in the same way each time, and several times.
        """
        first, second = (self._drawn(images, target, seed) for seed in range(2))
        if torch.equal(first, second):
            return first
        more = [self._drawn(images, target, seed) for seed in range(2, DRAWS)]
        return torch.stack([first, second, *more]).mean(dim=0)

    def _drawn(self, images: Tensor, target: Tensor, seed: int) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            loss = self.loss(images.to(self.device), target.to(self.device))
        return 1.0 - loss.float().cpu()

    def gradient(self, images: Tensor, target: Tensor) -> Tensor:
        """Returns the gradient of each image's loss by its pixels, on the subject's device."""
        pixels = images.detach().to(self.device).requires_grad_()
        return torch.autograd.grad(self.loss(pixels, target.to(self.device)).sum(), pixels)[0]

    def gradient_norm(self, images: Tensor, target: Tensor) -> float:
        """Returns the l1 norm of the gradient of an image's loss, mean over the images."""
        return float(self.gradient(images, target).abs().sum(dim=(1, 2, 3)).mean())


def subject_of(spec: LossSpec, title: str, device: str = "cpu", scorer: Scorer | None = None) -> Subject:
    """Builds a loss for its trial: at a weight of one, a value for each image, and pictures in [0, 1].

    Args:
        spec: The loss.
        title: What it is called.
        device: Where it runs.
        scorer: Its scorer, where that is built already.
    """
    fixed = {"loss_weight": 1.0, "reduction": "none", "input_range": (0.0, 1.0)}
    loss = replace(spec, options={**spec.options, **fixed}).build(scorer).to(device)
    if loss.scheduled:
        loss.set_step(LAST_STEP)
    return Subject(title, recommended_weight(spec), loss, device, loss.scorer.card.taught_by)
