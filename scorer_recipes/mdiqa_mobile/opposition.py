"""What training against opponents goes by: its settings, and how far each score shall fall."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from iqaloss.scorers.base import Request
from iqaloss.scorers.mdiqa.model import MDIQA
from scorer_recipes.mdiqa_mobile.speed import fast_format
from scorer_recipes.mdiqa_mobile.warmstart import trunk_of

SHARPNESS, NOISINESS = "sharpness", "noisiness"


@dataclass(frozen=True)
class Opposition:
    """Settings of the training against opponents.

    Attributes:
        seed: Every random choice is a function of this seed and the step.
        steps: Optimiser steps.
        batch: Originals in a step; each is shown in sixteen versions.
        sizes: Sides of the originals; one is drawn for each step.
        climbs: Steps that pictures take up the scorer's own gradient; down the distance's they take one.
        wholes: Whole photographs in a step, half of them degraded; there are twice as many crops, and most of these are
            shown degraded too.
        whole_sides: Sides of the whole photographs; one is drawn for each step.
        crop_sizes: Sides of the crops.
        slope: Fall of sharpness for a distance that is L1's restoration's.
        noise_slope: Fall of noisiness for the same, from six tenths of it on.
        free_pattern: Rise of a pattern in dB that costs nothing.
        pattern_price: Distance that each further dB costs.
        distances: Weight of the full-reference distance's error.
        learning_rate: Of all but the backbone.
        trunk_rate: Of the backbone.
        warmup: Steps of linear warm-up; a cosine to a fiftieth follows.
        weight_decay: AdamW's, of matrices.
        clip: Largest norm of the gradient.
        ema: Decay of the averaged weights, which are exported.
    """

    seed: int = 1
    steps: int = 300
    batch: int = 12
    sizes: tuple[int, ...] = (96, 96, 128)
    climbs: int = 4
    wholes: int = 8
    whole_sides: tuple[int, ...] = (256, 256, 512)
    crop_sizes: tuple[int, ...] = (64, 96, 128, 192, 256)
    slope: float = 0.4
    noise_slope: float = 0.1
    free_pattern: float = 4.0
    pattern_price: float = 0.01
    distances: float = 2.0
    learning_rate: float = 3e-4
    trunk_rate: float = 1.5e-4
    warmup: int = 30
    weight_decay: float = 0.02
    clip: float = 1.0
    ema: float = 0.99

    def rate_factor(self, step: int) -> float:
        """Returns the factor of the learning rates."""
        done = step / self.steps
        return min(1.0, (step + 1) / self.warmup) * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(math.pi * done)))


def parameter_groups(scorer: MDIQA, plan: Opposition) -> list[dict[str, Any]]:
    """Chooses what is trained and how fast: everything but the batch norms, which keep ImageNet's statistics."""
    scorer.requires_grad_(True)
    for module in scorer.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.requires_grad_(False)
    trunk = {id(parameter) for parameter in trunk_of(scorer).parameters()}
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for parameter in scorer.parameters():
        if parameter.requires_grad:
            groups.setdefault((id(parameter) in trunk, parameter.ndim > 1), []).append(parameter)
    return [
        {"params": found, "lr": rate, "peak": rate, "weight_decay": plan.weight_decay * decayed}
        for (inside, decayed), found in groups.items()
        for rate in [plan.trunk_rate if inside else plan.learning_rate]
    ]


Levels = list[Tensor]
"""The directions of the backbone's levels, ``[B, C, H, W]`` each."""


def scores_of(scorer: MDIQA, images: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the dimensions' scores ``[B, D]`` and the overall score ``[B]``."""
    return _seen(scorer, images, Request(score=True, dimensions=None))[:2]


def seen_by(scorer: MDIQA, images: Tensor) -> tuple[Tensor, Tensor, Levels]:
    """Returns the dimensions' scores, the overall score, and what the full-reference distance compares."""
    return _seen(scorer, images, Request(score=True, dimensions=None, features=None))


def _seen(scorer: MDIQA, images: Tensor, request: Request) -> tuple[Tensor, Tensor, Levels]:
    found = scorer(images.contiguous(memory_format=fast_format(images.device)), request)
    return torch.stack(list(found.dimensions.values()), dim=1), found.score, list(found.features.values())


def apart(levels: Levels, others: Levels) -> Tensor:
    """Returns the distance between levels that have leading dimensions in common, all channels alike.

    Example:
        >>> apart([torch.zeros(4, 2, 3, 8, 8)], [torch.ones(1, 2, 3, 8, 8)])[:, 0]
        tensor([3., 3., 3., 3.])
    """
    found = [(a - b).square().sum(dim=-3).mean(dim=(-2, -1)) for a, b in zip(levels, others, strict=True)]
    return torch.stack(found).mean(dim=0)


def root(distances: Tensor) -> Tensor:
    """Returns roots, in which large distances do not rule; without an infinite slope where there is none.

    What rounding leaves below nothing, as of two blank pictures, is nothing.
    """
    return (distances.clamp_min(0.0) + 0.01).sqrt()


def along(images: Tensor, rising: Callable[[Tensor], Tensor], generator: Generator, steps: int = 1) -> Tensor:
    """Moves images up the gradient of what rises, by half a grey level to eight altogether, root mean square.

    Args:
        images: ``[B, 3, H, W]``.
        rising: Images to a sum, with a graph.
        generator: Draws how far each is moved.
        steps: Equal steps, each along the gradient of its own place.
    """
    far = 0.5 * 16.0 ** torch.rand(len(images), 1, 1, 1, generator=generator) / 255.0
    far, moved = far.to(images) / steps, images
    for _ in range(steps):
        moved = moved.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(rising(moved), moved)
        unit = gradient / gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt().clamp_min(1e-12)
        moved = (moved.detach() + far * unit).clamp(0.0, 1.0)
    return moved


def wanted_falls(
    plan: Opposition, names: Sequence[str], far: Tensor, pattern: Tensor, seen: Tensor, low: Tensor
) -> Tensor:
    """Returns how far each dimension shall fall from the originals to their versions, ``[V, B, D]``.

    Sharpness falls by how much worse a version looks, noisiness by half of what the first scorer says and for what
    looks worse than L1's restoration, the others by what the first scorer says of both without their fine detail.

    Args:
        plan: The slopes.
        names: The dimensions.
        far: Distance of the versions from the originals, 1 for L1's restoration, ``[V, B]``.
        pattern: Price of their patterns, ``[V, B]``.
        seen: What the first scorer says of the originals and the versions, ``[1 + V, B, D]``.
        low: The same of both after a wide Gaussian.
    """
    falls = torch.zeros_like(seen[1:])
    for number, name in enumerate(names):
        said, coarse = seen[..., number], low[..., number]
        if name == SHARPNESS:
            falls[..., number] = plan.slope * (far + pattern)
        elif name == NOISINESS:
            worse = (far - 0.6).clamp_min(0.0) + 2.0 * pattern
            falls[..., number] = 0.5 * (said[0] - said[1:]).clamp_min(0.0) + plan.noise_slope * worse
        else:
            falls[..., number] = coarse[0] - coarse[1:]
    return falls


def tie(found: Tensor, wanted: Tensor) -> Tensor:
    """Squared error of falls ``[V, ...]``, and once more of their differences within an original.

    Example:
        >>> tie(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [2.0]]))  # an offset, which counts once
        tensor(1.)
    """
    wrong = found - wanted
    return wrong.square().mean() + (wrong - wrong.mean(dim=0, keepdim=True)).square().mean()
