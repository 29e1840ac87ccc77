"""A start that already agrees with people: ImageNet weights, and the statistics part fitted on stored statistics."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from iqaloss.scorers.mdiqa.fusion import level_statistics
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.training.embedded.data import DecodedImages
from iqaloss.training.embedded.objectives import degradation_loss, human_loss
from iqaloss.training.embedded.recipe import Recipe
from iqaloss.training.embedded.views import degraded_groups, resize, stack_groups, step_generator

Progress = Callable[[str, int, int], None]
SIDE = 256
START = 0.7
"""Score that every head starts from."""


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
    for head in scorer.branches["technical"].heads.values():  # type: ignore[union-attr]
        last = head.regress[-1]
        nn.init.normal_(last.weight, std=0.002)
        nn.init.constant_(last.bias, START)
    for local in (scorer.local or {}).values():
        nn.init.zeros_(local.regress[-1].weight)
        nn.init.zeros_(local.regress[-1].bias)
    last_logits = scorer.weighting.logits[-1]  # type: ignore[union-attr, index]
    nn.init.normal_(last_logits.weight, std=0.01)
    nn.init.zeros_(last_logits.bias)


@torch.no_grad()
def stored_statistics(
    scorer: MDIQA, images: DecodedImages, cache: Path, progress: Progress, bf16: bool = True
) -> Tensor:
    """Returns the backbone's channel statistics of every photograph at 256x256, computed once."""
    if cache.is_file():
        stored: Tensor = torch.load(cache, weights_only=True)
        if len(stored) == len(images):
            return stored
    trunk, parts = trunk_of(scorer), []
    for start in range(0, len(images), 32):
        batch = torch.stack([resize(images.full(i), SIDE, SIDE) for i in range(start, min(start + 32, len(images)))])
        batch = scorer.normalise(batch).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            levels = trunk(batch)
        parts.append(level_statistics(levels))
        progress("statistics", start, len(images))
    stored = torch.cat(parts)
    partial = cache.with_suffix(".partial")
    torch.save(stored, partial)
    os.replace(partial, cache)
    return stored


@torch.no_grad()
def degraded_statistics(
    scorer: MDIQA, images: DecodedImages, clean: list[int], recipe: Recipe, cache: Path, progress: Progress
) -> tuple[Tensor, ...]:
    """Returns the backbone's statistics of degraded versions ``[G, V, K]`` with their targets, computed once."""
    if cache.is_file():
        stored: tuple[Tensor, ...] = torch.load(cache, weights_only=True)
        return stored
    recipe = dataclasses.replace(recipe, groups=8, versions=5, crop_sizes=(96, 128, 160, 192, 224))
    trunk, found, described = trunk_of(scorer), [], []
    for step in range(recipe.warm_groups // recipe.groups):
        groups = degraded_groups(images, clean, recipe, step_generator(recipe.seed + 10, step))
        views = scorer.normalise(torch.cat([group.images for group in groups]))
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            levels = trunk(views.contiguous(memory_format=torch.channels_last))
        found.append(level_statistics(levels).unflatten(0, (len(groups), recipe.versions)))
        described.append(stack_groups(groups))
        progress("statistics of degraded versions", step, recipe.warm_groups // recipe.groups)
    stored = (torch.cat(found), *(torch.cat(parts) for parts in zip(*described)))
    partial = cache.with_suffix(".partial")
    torch.save(stored, partial)
    os.replace(partial, cache)
    return stored


def fit_statistics(
    scorer: MDIQA,
    statistics: Tensor,
    scores: Tensor,
    rows: list[int],
    degraded: tuple[Tensor, ...],
    recipe: Recipe,
    progress: Progress,
) -> None:
    """Fits the statistics part and the fusion on stored statistics, with the heads at their starting constants.

    Args:
        scorer: The scorer.
        statistics: Statistics of all photographs, ``[N, K]``.
        scores: Their human scores, ``[N]``.
        rows: The photographs to fit on.
        degraded: What :func:`degraded_statistics` returns.
        recipe: The settings.
        progress: Is told how far it is.
    """
    part = scorer.statistics
    if part is None:
        raise ValueError("the warm start needs a configuration with statistics > 0")
    part.center.copy_(statistics[rows].mean(dim=0))
    part.spread.copy_(statistics[rows].std(dim=0).clamp_min(1e-3))
    inputs, targets = ((statistics - part.center) / part.spread)[rows], scores[rows]
    versions, *described = degraded
    versions = (versions - part.center) / part.spread
    optimiser = torch.optim.AdamW(
        [
            {"params": part.local.parameters(), "weight_decay": 0.5},
            {"params": part.dimension.parameters(), "weight_decay": 0.01},
            {"params": scorer.fuse.parameters()},
        ],
        lr=2e-3,
        weight_decay=0.0,
    )
    total = recipe.warm_epochs * max(1, len(rows) // 256)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [2e-3, 4e-3, 1e-2], total_steps=max(2, total))
    generator = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    part.train()
    count = len(scorer.dimension_names)

    def read(standard: Tensor, noise: float) -> tuple[Tensor, Tensor, Tensor]:
        standard = standard + noise * torch.randn(standard.shape, generator=generator)
        dimensions, local = START + part.dimension(standard), part.local(standard)
        return scorer.fuse((dimensions + local) / count).squeeze(1), dimensions, local

    for step in range(total):
        chosen = torch.randint(len(rows), (256,), generator=generator)
        overall, dimensions, local = read(inputs[chosen], 0.5)
        parts = human_loss(overall, dimensions, targets[chosen])
        parts["plcc"] = 3.0 * parts["plcc"]
        parts["small"] = 0.001 * local.pow(2).mean()
        groups = torch.randint(len(versions), (48,), generator=generator)
        overall, dimensions, _ = read(versions[groups].flatten(0, 1), 0.15)
        falls = degradation_loss(overall, dimensions, *(kind[groups] for kind in described))
        parts.update({name: value if name == "overall" else 3.0 * value for name, value in falls.items()})
        optimiser.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        optimiser.step()
        schedule.step()
        progress("warm start", step, total)
