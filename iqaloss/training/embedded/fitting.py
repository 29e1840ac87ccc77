"""Fits of the statistics part and of the fusion on stored statistics: minutes where training takes hours."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.training.embedded.objectives import degradation_loss, human_loss, plcc_loss, ranking_loss
from iqaloss.training.embedded.recipe import Recipe
from iqaloss.training.embedded.statistics import Progress, Seen
from iqaloss.training.embedded.warmstart import START


def noisy_read(
    reader: nn.Sequential, standard: Tensor, generator: torch.Generator, std: float = 0.5, dropout: float = 0.5
) -> Tensor:
    """Reads standardised statistics with noise and dropout, in any mode: human scores are easily learnt by heart."""
    x = standard + std * torch.randn(standard.shape, generator=generator).to(standard.device)
    for layer in reader:
        if isinstance(layer, nn.Dropout):
            kept = (torch.rand(x.shape, generator=generator) >= dropout).to(x.device)
            x = x * kept / (1.0 - dropout)
        else:
            x = layer(x)
    return x


def fit_statistics(
    scorer: MDIQA,
    scored: tuple[Tensor, ...],
    scores: Tensor,
    degraded: tuple[Tensor, ...],
    recipe: Recipe,
    progress: Progress,
) -> None:
    """Fits the statistics part and the fusion on stored statistics, with the heads at their starting constants.

    Args:
        scorer: The scorer.
        scored: What :func:`scored_statistics` returns.
        scores: Human scores of all rows.
        degraded: What :func:`degraded_statistics` returns.
        recipe: The settings.
        progress: Is told how far it is.
    """
    part = scorer.statistics
    if part is None:
        raise ValueError("the warm start needs a configuration with statistics > 0")
    statistics, rows = scored
    part.center.copy_(statistics.mean(dim=0))
    part.spread.copy_(statistics.std(dim=0).clamp_min(1e-3))
    inputs, targets = (statistics - part.center) / part.spread, scores[rows]
    versions, *described = degraded
    versions = (versions - part.center) / part.spread
    parameters: list[dict[str, Any]] = [
        {"params": part.local.parameters(), "weight_decay": 0.5},
        {"params": part.dimension.parameters(), "weight_decay": 0.01},
        {"params": scorer.fuse.parameters()},
    ]
    optimiser = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.0)
    total = recipe.warm_epochs * max(1, len(rows) // 512)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [2e-3, 4e-3, 1e-2], total_steps=max(2, total))
    generator = torch.Generator().manual_seed(recipe.seed)
    count = len(scorer.dimension_names)

    def read(standard: Tensor, noise: float, dropout: float) -> tuple[Tensor, Tensor, Tensor]:
        dimensions = START + noisy_read(part.dimension, standard, generator, noise, 0.2)
        local = noisy_read(part.local, standard, generator, noise, dropout)
        # Human scores shape mostly the local part: dimensions that all follow one score cannot tell properties apart.
        held = torch.lerp(dimensions.detach(), dimensions, recipe.human_share)
        return scorer.fuse((held + local) / count).squeeze(1), dimensions, local

    for step in range(total):
        chosen = torch.randint(len(rows), (256,), generator=generator)
        overall, dimensions, local = read(inputs[chosen], 0.5, 0.5)
        parts = human_loss(overall, dimensions, targets[chosen])
        parts["small"] = 0.001 * local.pow(2).mean()
        groups = torch.randint(len(versions), (64,), generator=generator)
        overall, dimensions, _ = read(versions[groups].flatten(0, 1), 0.15, 0.2)
        falls = degradation_loss(overall, dimensions, *(kind[groups] for kind in described))
        parts.update({name: value if name == "overall" else 4.0 * value for name, value in falls.items()})
        optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        optimiser.step()
        schedule.step()
        progress("warm start", step, total)


@torch.no_grad()
def seen_by_statistics(scorer: MDIQA, statistics: Tensor) -> Seen:
    """Returns what is seen with the heads at their starting constants and equal instance weights."""
    part = scorer.statistics
    if part is None:
        raise ValueError("fitting needs a configuration with statistics > 0")
    standard = (statistics - part.center) / part.spread
    dimensions = START + part.dimension(standard)
    shares = torch.full_like(dimensions, 1.0 / len(scorer.dimension_names))
    return Seen(standard, dimensions, torch.zeros_like(dimensions), shares)


def fit_overall(
    scorer: MDIQA,
    scored: Seen,
    scores: Tensor,
    degraded: Seen,
    falls: Tensor,
    recipe: Recipe,
    order: tuple[float, float],
) -> None:
    """Fits the local half of the statistics part and the fusion to human scores; the dimensions stay as they are.

    Args:
        scorer: The scorer; its dimensions are trained.
        scored: What it sees of scored photographs, ``[N, ...]``.
        scores: Their human scores ``[N]``.
        degraded: What it sees of groups of degraded versions, ``[G, V, ...]``.
        falls: How far the matching dimension's target falls from version to version, ``[G, V - 1]``.
        recipe: The settings.
        order: Share of those falls by which the overall score shall fall, and the weight of that.
    """
    part = scorer.statistics
    if part is None:
        raise ValueError("fitting needs a configuration with statistics > 0")
    margin, weight = order
    reader = copy.deepcopy(part.local)
    # A strong local half and a fusion that reads it softly: what the dimensions say beside it weighs less.
    with torch.no_grad():
        reader[-1].weight.mul_(recipe.local_strength)  # type: ignore[union-attr, operator]
        reader[-1].bias.mul_(recipe.local_strength)  # type: ignore[union-attr, operator]
        scorer.fuse[0].weight.div_(recipe.local_strength)  # type: ignore[union-attr, operator]
    total = max(2, recipe.overall_epochs * len(scores) // 256)
    optimiser = torch.optim.AdamW(
        [
            {"params": reader.parameters(), "weight_decay": 0.5},
            {"params": scorer.fuse.parameters(), "weight_decay": 0.0},
        ],
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [2e-3, 4e-3], total_steps=total)
    generator = torch.Generator().manual_seed(recipe.seed)

    def overall(seen: Seen, chosen: Tensor, std: float) -> Tensor:
        local = noisy_read(reader, seen.standard[chosen], generator, std)
        scores = seen.dimensions[chosen] + seen.attended[chosen] + local
        return scorer.fuse(scores * seen.weights[chosen]).squeeze(-1)

    for _ in range(total):
        chosen = torch.randint(len(scores), (256,), generator=generator)
        found, wanted = overall(scored, chosen, 0.5), scores[chosen]
        loss = plcc_loss(found, wanted) + 5.0 * F.mse_loss(found, wanted) + ranking_loss(found, wanted)
        groups = torch.randint(len(falls), (32,), generator=generator)
        loss = loss + weight * F.relu(margin * falls[groups] + overall(degraded, groups, 0.0).diff(dim=1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    part.local.load_state_dict(reader.state_dict())


@torch.no_grad()
def level_dimensions(scorer: MDIQA, degraded: Seen, targets: Tensor, known: Tensor) -> Tensor:
    """Shifts every dimension so that its mean error on degraded versions is zero; returns the shifts ``[D]``.

    The heads learn falls alone, so where their scores stand as a whole is left to be set.

    Args:
        scorer: The scorer; the biases of its heads are changed.
        degraded: What it sees of groups of degraded versions.
        targets: Targets of the dimensions ``[G, V, D]``.
        known: 1 for dimensions with a target, ``[G, D]``.
    """
    weight = known[:, None].expand_as(targets)
    shifts = (weight * (targets - degraded.dimensions)).sum(dim=(0, 1)) / weight.sum(dim=(0, 1)).clamp_min(1.0)
    heads: Any = scorer.branches["technical"].heads
    for head, shift in zip(heads.values(), shifts):
        head.regress[-1].bias.add_(shift)
    return shifts


def matching_falls(targets: Tensor, matching: Tensor) -> Tensor:
    """Returns how far the matching dimension's target falls between versions, ``[G, V - 1]``, not negative."""
    return -(targets * matching[:, None]).sum(dim=2).diff(dim=1)
