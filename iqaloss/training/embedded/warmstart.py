"""A start that already agrees with people: ImageNet weights, and the statistics part fitted on stored statistics."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.mdiqa.fusion import appearance_maps, level_statistics
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.training.embedded.data import DecodedImages
from iqaloss.training.embedded.objectives import degradation_loss, human_loss, plcc_loss, ranking_loss
from iqaloss.training.embedded.recipe import Recipe
from iqaloss.training.embedded.views import degraded_groups, resize, scored_views, stack_groups, step_generator

Progress = Callable[[str, int, int], None]
SIDE = 256
START = 0.7
"""Score that every head starts from."""
HUMAN_SHARE = 0.1
"""How much of the human scores' gradient reaches the dimensions in the warm start."""


def trunk_of(scorer: MDIQA) -> nn.Module:
    """Returns the backbone that the heads share."""
    return scorer.branches["technical"].backbone.trunk  # type: ignore[union-attr, return-value]


def load_imagenet(scorer: MDIQA, path: str | Path) -> None:
    """Loads ImageNet weights (timm keys, safetensors) into the backbone; the classifier's are left out.

    Raises:
        ValueError: If a tensor of the backbone is missing in the file.
    """
    from safetensors.torch import load_file

    state = {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    missing, _ = trunk_of(scorer).load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} tensors of the backbone, such as {missing[0]!r}")


def initialise(scorer: MDIQA) -> None:
    """Starts every head at a plausible constant, local scores at zero, and instance weights at equal shares."""
    heads: Any = scorer.branches["technical"].heads
    for head in heads.values():
        last = head.regress[-1]
        nn.init.normal_(last.weight, std=0.002)
        nn.init.constant_(last.bias, START)
    locals_: Any = scorer.local or {}
    for local in locals_.values():
        nn.init.zeros_(local.regress[-1].weight)
        nn.init.zeros_(local.regress[-1].bias)
    weighting: Any = scorer.weighting
    last_logits = weighting.logits[-1]
    nn.init.normal_(last_logits.weight, std=0.01)
    nn.init.zeros_(last_logits.bias)


@torch.no_grad()
def view_statistics(scorer: MDIQA, views: Tensor, bf16: bool = True) -> Tensor:
    """Returns the statistics ``[B, K]`` of views ``[B, 3, H, W]`` under the scorer's backbone."""
    batch = scorer.normalise(views).contiguous(memory_format=torch.channels_last)
    with torch.autocast(views.device.type, torch.bfloat16, enabled=bf16):
        levels = trunk_of(scorer).eval()(batch)  # stored batch statistics
    return level_statistics([appearance_maps(views), *levels])


def stored(cache: Path, compute: Callable[[], list[tuple[Tensor, ...]]]) -> tuple[Tensor, ...]:
    """Returns the tensors in a file; computes, joins and stores them when there is no file."""
    if cache.is_file():
        kept: tuple[Tensor, ...] = torch.load(cache, weights_only=True)
        return kept
    joined = tuple(torch.cat(parts) for parts in zip(*compute()))
    partial = cache.with_suffix(".partial")
    torch.save(joined, partial)
    os.replace(partial, cache)
    return joined


def scored_statistics(
    scorer: MDIQA, images: DecodedImages, rows: list[int], recipe: Recipe, cache: Path, progress: Progress
) -> tuple[Tensor, ...]:
    """Returns statistics ``[N, K]`` of scored photographs and their rows ``[N]``.

    Each photograph is seen whole at 256x256 and in one random view (see :func:`scored_views`).
    """

    def compute() -> list[tuple[Tensor, ...]]:
        found: list[tuple[Tensor, ...]] = []
        for start in range(0, len(rows), 32):
            chosen = rows[start : start + 32]
            whole = torch.stack([resize(images.full(i), SIDE, SIDE) for i in chosen])
            generator = step_generator(recipe.seed + 20, start)
            random = scored_views(images, chosen, dataclasses.replace(recipe, native=0.5), generator)
            numbers = torch.tensor(chosen)
            found += [(view_statistics(scorer, views, recipe.bf16), numbers) for views in (whole, random)]
            progress("statistics of photographs", start, len(rows))
        return found

    return stored(cache, compute)


def degraded_statistics(
    scorer: MDIQA, images: DecodedImages, clean: list[int], recipe: Recipe, cache: Path, progress: Progress
) -> tuple[Tensor, ...]:
    """Returns statistics ``[G, V, K]`` of degraded versions, with their targets, known and matching dimensions."""
    recipe = dataclasses.replace(recipe, groups=8, crop_sizes=(64, 96, 128, 160, 192, 224))
    total = recipe.warm_groups // recipe.groups

    def compute() -> list[tuple[Tensor, ...]]:
        found: list[tuple[Tensor, ...]] = []
        for step in range(total):
            groups = degraded_groups(images, clean, recipe, step_generator(recipe.seed + 10, step))
            seen = view_statistics(scorer, torch.cat([group.images for group in groups]), recipe.bf16)
            found.append((seen.unflatten(0, (len(groups), recipe.versions)), *stack_groups(groups)))
            progress("statistics of degraded versions", step, total)
        return found

    return stored(cache, compute)


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
    torch.manual_seed(recipe.seed)
    part.train()
    count = len(scorer.dimension_names)

    def read(standard: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor]:
        standard = standard + noise * torch.randn(standard.shape, generator=generator)
        dimensions, local = START + part.dimension(standard), part.local(standard)
        # Human scores shape mostly the local part: dimensions that all follow one score cannot tell properties apart.
        held = torch.lerp(dimensions.detach(), dimensions, HUMAN_SHARE)
        return scorer.fuse((held + local) / count).squeeze(1), dimensions, local

    for step in range(total):
        chosen = torch.randint(len(rows), (256,), generator=generator)
        overall, dimensions, local = read(inputs[chosen], 0.5)
        parts = human_loss(overall, dimensions, targets[chosen])
        parts["small"] = 0.001 * local.pow(2).mean()
        groups = torch.randint(len(versions), (64,), generator=generator)
        overall, dimensions, _ = read(versions[groups].flatten(0, 1), 0.15)
        falls = degradation_loss(overall, dimensions, *(kind[groups] for kind in described))
        parts.update({name: value if name == "overall" else 4.0 * value for name, value in falls.items()})
        optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        optimiser.step()
        schedule.step()
        progress("warm start", step, total)


def fit_overall(
    scorer: MDIQA, scored: tuple[Tensor, ...], scores: Tensor, degraded: tuple[Tensor, ...], recipe: Recipe
) -> None:
    """Fits the local half of the statistics part and the fusion to human scores; the dimensions stay as they are.

    Args:
        scorer: The scorer after :func:`fit_statistics`.
        scored: What :func:`scored_statistics` returns.
        scores: Human scores of all rows.
        degraded: What :func:`degraded_statistics` returns.
        recipe: The settings.
    """
    part = scorer.statistics
    if part is None:
        raise ValueError("the warm start needs a configuration with statistics > 0")
    part.eval()
    statistics, rows = scored
    versions, falls, _, matching = degraded
    inputs, worse = ((kind - part.center) / part.spread for kind in (statistics, versions))
    with torch.no_grad():
        dimensions, worse_dimensions = (START + part.dimension(kind) for kind in (inputs, worse))
    falls = -(falls * matching[:, None]).sum(dim=2).diff(dim=1)  # [G, V - 1], positive
    reader = copy.deepcopy(part.local).train()
    for layer in reader:
        if isinstance(layer, nn.Dropout):
            layer.p = 0.4
    count, total = len(scorer.dimension_names), max(2, 25 * recipe.warm_epochs // 3)
    optimiser = torch.optim.AdamW(
        [
            {"params": reader.parameters(), "weight_decay": 0.5},
            {"params": scorer.fuse.parameters(), "weight_decay": 0.0},
        ],
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [3e-3, 5e-3], total_steps=total)
    generator = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)

    def overall(known: Tensor, standard: Tensor, noise: float) -> Tensor:
        seen = standard + noise * torch.randn(standard.shape, generator=generator)
        return scorer.fuse((known + reader(seen)) / count).squeeze(-1)

    for _ in range(total):
        chosen = torch.randint(len(rows), (256,), generator=generator)
        found, wanted = overall(dimensions[chosen], inputs[chosen], 0.4), scores[rows[chosen]]
        loss = plcc_loss(found, wanted) + 5.0 * F.mse_loss(found, wanted) + ranking_loss(found, wanted)
        groups = torch.randint(len(worse), (32,), generator=generator)
        found = overall(worse_dimensions[groups], worse[groups], 0.1)
        loss = loss + 2.0 * F.relu(0.4 * falls[groups] + found.diff(dim=1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    part.local.load_state_dict(reader.state_dict())
