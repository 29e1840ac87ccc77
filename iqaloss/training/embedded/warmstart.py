"""A start that already agrees with people: ImageNet weights, and the statistics part fitted on stored statistics."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.mdiqa.fusion import level_statistics
from iqaloss.scorers.mdiqa.model import MDIQA
from iqaloss.training.embedded.data import DecodedImages
from iqaloss.training.embedded.objectives import plcc_loss
from iqaloss.training.embedded.recipe import Recipe
from iqaloss.training.embedded.views import resize

Progress = Callable[[str, int, int], None]
SIDE = 256


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
        nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(last.bias, 0.7)
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


def fit_statistics(
    scorer: MDIQA, statistics: Tensor, scores: Tensor, rows: list[int], recipe: Recipe, progress: Progress
) -> None:
    """Fits the statistics part and the fusion on stored statistics, with the heads at their starting constants."""
    part = scorer.statistics
    if part is None:
        raise ValueError("the warm start needs a configuration with statistics > 0")
    part.center.copy_(statistics[rows].mean(dim=0))
    part.spread.copy_(statistics[rows].std(dim=0).clamp_min(1e-3))
    inputs, targets = ((statistics - part.center) / part.spread)[rows], scores[rows]
    optimiser = torch.optim.AdamW(
        [{"params": part.read.parameters(), "weight_decay": 0.5}, {"params": scorer.fuse.parameters()}],
        lr=2e-3,
        weight_decay=0.0,
    )
    per_epoch = max(1, len(rows) // 256)
    total = recipe.warm_epochs * per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [2e-3, 1e-2], total_steps=max(2, total))
    generator = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    part.train()
    constant = 0.7 / len(scorer.dimension_names)
    for step in range(total):
        chosen = torch.randint(len(rows), (256,), generator=generator)
        local = part.read(inputs[chosen] + 0.5 * torch.randn(256, inputs.shape[1], generator=generator))
        overall = scorer.fuse(local / len(scorer.dimension_names) + constant).squeeze(1)
        loss = plcc_loss(overall, targets[chosen]) + 5.0 * F.mse_loss(overall, targets[chosen])
        loss = loss + 0.003 * local.pow(2).mean()  # dimensions keep near their constants
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress("warm start", step, total)
