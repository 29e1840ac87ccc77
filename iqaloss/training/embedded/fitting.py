"""Fits of the statistics part and of the fusion on stored statistics: minutes where training takes hours."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
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


def fit_dimensions(
    scorer: MDIQA,
    scored: Seen,
    scores: Tensor,
    degraded: Seen,
    described: tuple[Tensor, Tensor, Tensor],
    recipe: Recipe,
    progress: Progress,
) -> Callable[[Seen], Seen]:
    """Fits what the statistics part says of the dimensions to what the trained heads leave open.

    Args:
        scorer: The scorer; its heads are trained.
        scored: What it sees of scored photographs, ``[N, ...]``.
        scores: Their human scores ``[N]``.
        degraded: What it sees of groups of degraded versions, ``[G, V, ...]``.
        described: Targets ``[G, V, D]``, known ``[G, D]`` and matching ``[G, D]`` dimensions of the groups.
        recipe: The settings.
        progress: Is told how far it is.

    Returns:
        A function that brings what was seen before the fit up to date.
    """
    part = scorer.statistics
    if part is None:
        raise ValueError("fitting needs a configuration with statistics > 0")
    reader: nn.Sequential = copy.deepcopy(part.dimension)
    before = copy.deepcopy(reader)
    with torch.no_grad():
        heads, heads_degraded = (seen.dimensions - _read(before, seen.standard) for seen in (scored, degraded))
    total = max(2, recipe.dimension_epochs * max(1, len(heads_degraded) // 64))
    optimiser = torch.optim.AdamW(reader.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=total)
    generator = torch.Generator().manual_seed(recipe.seed)
    for step in range(total):
        groups = torch.randint(len(heads_degraded), (64,), generator=generator)
        read = noisy_read(reader, degraded.standard[groups], generator, 0.15, 0.2)
        found = (heads_degraded[groups] + read).flatten(0, 1)
        falls = degradation_loss(found.mean(dim=1), found, *(kind[groups] for kind in described))
        loss = torch.stack([value for name, value in falls.items() if name != "overall"]).sum()
        chosen = torch.randint(len(heads), (128,), generator=generator)
        mean = (heads[chosen] + noisy_read(reader, scored.standard[chosen], generator, 0.5, 0.2)).mean(dim=1)
        loss = 4.0 * loss + F.mse_loss(mean, scores[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress("dimensions", step, total)
    part.dimension.load_state_dict(reader.state_dict())

    @torch.no_grad()
    def updated(seen: Seen) -> Seen:
        moved = _read(reader, seen.standard) - _read(before, seen.standard)
        return dataclasses.replace(seen, dimensions=seen.dimensions + moved)

    return updated


def _read(reader: nn.Sequential, standard: Tensor) -> Tensor:
    """Reads standardised statistics without dropout, in any mode."""
    for layer in reader:
        standard = standard if isinstance(layer, nn.Dropout) else layer(standard)
    return standard


def matching_falls(targets: Tensor, matching: Tensor) -> Tensor:
    """Returns how far the matching dimension's target falls between versions, ``[G, V - 1]``, not negative."""
    return -(targets * matching[:, None]).sum(dim=2).diff(dim=1)
