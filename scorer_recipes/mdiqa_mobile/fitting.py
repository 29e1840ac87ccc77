"""Fits of the statistics block and of the fusion on stored statistics: minutes where training takes hours."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from iqaloss.evaluation.probes.pictures import Report
from iqaloss.scorers.mdiqa.model import MDIQA
from scorer_recipes.mdiqa_mobile.objectives import degradation_loss, human_loss, score_loss
from scorer_recipes.mdiqa_mobile.readers import Readers, draw
from scorer_recipes.mdiqa_mobile.recipe import Recipe
from scorer_recipes.mdiqa_mobile.statistics import Seen
from scorer_recipes.mdiqa_mobile.warmstart import START


def fit_statistics(
    scorer: MDIQA,
    scored: tuple[Tensor, ...],
    scores: Tensor,
    degraded: tuple[Tensor, ...],
    recipe: Recipe,
    progress: Report,
) -> None:
    """Fits the statistics block and the fusion on stored statistics, with the heads at their starting constants.

    Args:
        scorer: The scorer.
        scored: What :func:`scored_statistics` returns.
        scores: Human scores of all rows.
        degraded: What :func:`degraded_statistics` returns.
        recipe: The settings.
        progress: Is told how far it is.
    """
    block = scorer.statistics
    if block is None:
        raise ValueError("the warm start needs a configuration with statistics > 0")
    statistics, rows = scored
    block.center.copy_(statistics.mean(dim=0))
    block.spread.copy_(statistics.std(dim=0).clamp_min(1e-3))
    inputs, targets = (statistics - block.center) / block.spread, scores[rows]
    versions, *described = degraded
    versions = (versions - block.center) / block.spread
    local, dimension = Readers(block.local, recipe.readers), Readers(block.dimension, recipe.readers)
    parameters: list[dict[str, Any]] = [
        {"params": local.parameters(), "weight_decay": 0.5},
        {"params": dimension.parameters(), "weight_decay": 0.01},
        {"params": scorer.fuse.parameters()},
    ]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.0)
    total = recipe.warm_epochs * max(1, len(rows) // 512)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [2e-3, 4e-3, 1e-2], total_steps=max(2, total))
    generator = torch.Generator().manual_seed(recipe.seed)
    count = len(scorer.dimension_names)

    def read(standard: Tensor, noise: float, dropout: float) -> tuple[Tensor, Tensor, Tensor]:
        dimensions = START + dimension(standard, generator, noise, 0.2)
        added = local(standard, generator, noise, dropout)
        # Human scores shape mostly the local block: dimensions that all follow one score cannot tell properties apart.
        held = torch.lerp(dimensions.detach(), dimensions, recipe.human_share)
        return scorer.fuse((held + added) / count).squeeze(-1), dimensions, added

    for step in range(total):
        chosen = draw(recipe.readers, len(rows), 256, generator)
        overall, dimensions, added = read(inputs[chosen], 0.5, 0.5)
        losses = [0.001 * recipe.readers * added.pow(2).mean()]
        for each in zip(overall, dimensions, targets[chosen]):
            losses += human_loss(*each).values()
        groups = draw(recipe.readers, len(versions), 64, generator)
        overall, dimensions, _ = read(versions[groups].flatten(1, 2), 0.15, 0.2)
        for k, numbers in enumerate(groups):
            falls = degradation_loss(overall[k], dimensions[k], *(kind[numbers] for kind in described))
            losses += [value if name == "overall" else 4.0 * value for name, value in falls.items()]
        _descend(losses, optimizer, schedule)
        progress("warm start", step + 1, total)
    local.store(block.local)
    dimension.store(block.dimension)


def _descend(losses: list[Tensor], optimizer: torch.optim.Optimizer, schedule: Any) -> None:
    optimizer.zero_grad()
    torch.stack(losses).sum().backward()
    optimizer.step()
    schedule.step()


@torch.no_grad()
def seen_by_statistics(scorer: MDIQA, statistics: Tensor) -> Seen:
    """Returns what is seen with the heads at their starting constants and equal instance weights."""
    block = scorer.statistics
    if block is None:
        raise ValueError("fitting needs a configuration with statistics > 0")
    standard = (statistics - block.center) / block.spread
    dimensions = START + block.dimension(standard)  # with dropout where the scorer is in training mode
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
    """Fits the local half of the statistics block and the fusion to human scores; the dimensions stay as they are.

    Args:
        scorer: The scorer; its dimensions are trained.
        scored: What it sees of scored photographs, ``[N, ...]``.
        scores: Their human scores ``[N]``.
        degraded: What it sees of groups of degraded versions, ``[G, V, ...]``.
        falls: How far the matching dimension's target falls from version to version, ``[G, V - 1]``.
        recipe: The settings.
        order: Share of those falls by which the overall score shall fall, and the weight of that.
    """
    block = scorer.statistics
    if block is None:
        raise ValueError("fitting needs a configuration with statistics > 0")
    margin, weight = order
    # A strong local half and a fusion that reads it softly: what the dimensions say beside it weighs less.
    with torch.no_grad():
        last: Any = block.local[-1]
        last.weight.mul_(recipe.local_strength)
        last.bias.mul_(recipe.local_strength)
        scorer.fuse[0].weight.div_(recipe.local_strength)  # type: ignore[union-attr, operator]
    readers = Readers(block.local, recipe.readers)
    total = max(2, recipe.overall_epochs * len(scores) // 256)
    optimizer = torch.optim.AdamW(
        [
            {"params": readers.parameters(), "weight_decay": 0.5},
            {"params": scorer.fuse.parameters(), "weight_decay": 0.0},
        ],
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [2e-3, 4e-3], total_steps=total)
    generator = torch.Generator().manual_seed(recipe.seed)

    def fuse(seen: Seen, local: Tensor) -> Tensor:
        return scorer.fuse((seen.dimensions + seen.attended + local) * seen.weights).squeeze(-1)

    for _ in range(total):
        chosen = draw(recipe.readers, len(scores), 256, generator)
        photographs = scored.where(chosen)
        found = fuse(photographs, readers(photographs.standard, generator, 0.5, 0.5))
        losses: list[Tensor] = []
        for each, wanted in zip(found, scores[chosen]):
            losses += score_loss(each, wanted).values()
        groups = draw(recipe.readers, len(falls), 32, generator)
        versions = degraded.where(groups)  # [K, G, V, ...]
        local = readers(versions.standard.flatten(1, 2), generator, 0.0, 0.5).unflatten(1, versions.standard.shape[1:3])
        late = F.relu(margin * falls[groups] + fuse(versions, local).diff(dim=2)).mean()
        _descend([*losses, recipe.readers * weight * late], optimizer, schedule)
    readers.store(block.local)


@torch.no_grad()
def weigh_heads(scorer: MDIQA, seen: Seen, share: float) -> Callable[[Seen], Seen]:
    """Gives the trained heads a share of every dimension, and the statistics block, which knows better, the rest.

    During their training the heads saw half of every fall, on a level of their own, and the statistics block said half
    of what it knows (see :func:`leave_half_to_heads`). Both halves are doubled, the heads are brought to the level of
    the other block, and the mean is taken with the weights ``share`` and ``1 - share``.

    Args:
        scorer: The scorer; the last layers of heads and statistics block are changed in place.
        seen: What it sees of whole photographs, ``[N, ...]``: the levels are means over them.
        share: The heads' share, from 0 to 1.

    Returns:
        A function that brings what was seen before up to date.
    """
    block = scorer.statistics
    if block is None:
        raise ValueError("weighing the heads needs a configuration with statistics > 0")
    before = copy.deepcopy(block.dimension).eval()
    added = before(seen.standard)
    level = (START + 2.0 * added).mean(dim=0)
    own = (seen.dimensions - added).mean(dim=0)
    factor, offset = 2.0 * share, share * (level - 2.0 * own) + (1.0 - share) * START
    heads: Any = scorer.branches["technical"].heads  # type: ignore[union-attr]
    for head, shift in zip(heads.values(), offset):
        head.regress[-1].weight.mul_(factor)
        head.regress[-1].bias.mul_(factor).add_(shift)
    last: Any = block.dimension[-1]
    last.weight.mul_(2.0 * (1.0 - share))
    last.bias.mul_(2.0 * (1.0 - share))

    @torch.no_grad()
    def updated(seen: Seen) -> Seen:
        added = before(seen.standard)
        dimensions = factor * (seen.dimensions - added) + offset + 2.0 * (1.0 - share) * added
        return dataclasses.replace(seen, dimensions=dimensions)

    return updated


def matching_falls(targets: Tensor, matching: Tensor) -> Tensor:
    """Returns how far the matching dimension's target falls between versions, ``[G, V - 1]``, not negative."""
    return -(targets * matching[:, None]).sum(dim=2).diff(dim=1)
