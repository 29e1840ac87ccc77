"""What the modules that are fitted see, computed once and stored: statistics of scored and of degraded photographs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from iqaloss._files import replacing
from iqaloss.scorers.base import Request
from iqaloss.scorers.mdiqa.fusion import appearance_maps, level_statistics
from iqaloss.scorers.mdiqa.model import MDIQA
from scorer_recipes.mdiqa_mobile.data import DecodedImages
from scorer_recipes.mdiqa_mobile.inputs import degraded_groups, resize, scored_inputs, stack_groups, step_generator
from scorer_recipes.mdiqa_mobile.run import Run
from scorer_recipes.mdiqa_mobile.speed import Autocast
from scorer_recipes.mdiqa_mobile.warmstart import trunk_of

SIDE = 256


@dataclass(frozen=True)
class Seen:
    """What the fits of the overall score need to know of each image.

    Attributes:
        standard: Standardised statistics ``[..., K]``.
        dimensions: The dimensions' scores ``[..., D]``.
        attended: What the attention heads add to them locally, ``[..., D]``.
        weights: Instance weights ``[..., D]``.
    """

    standard: Tensor
    dimensions: Tensor
    attended: Tensor
    weights: Tensor

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """All of them, in order."""
        return self.standard, self.dimensions, self.attended, self.weights

    def where(self, chosen: Tensor) -> Seen:
        """Returns those that a mask chooses."""
        return Seen(*(kind[chosen] for kind in self.tensors))


@torch.no_grad()
def observe(scorer: MDIQA, inputs: Tensor, bf16: bool = True) -> Seen:
    """Runs the whole scorer on inputs ``[B, 3, H, W]`` and returns what the fit of the overall score needs."""
    block = scorer.statistics
    if block is None:
        raise ValueError("fitting needs a configuration with statistics > 0")
    kept: list[Tensor] = []
    hook = block.local.register_forward_hook(lambda _, given, added: kept.extend([given[0], added.float()]))
    inputs = inputs.to(block.center.device)
    with hook, torch.autocast(inputs.device.type, torch.bfloat16, enabled=bf16):
        out = scorer(inputs.contiguous(memory_format=torch.channels_last), Request(dimensions=None, extras=None))
    standard, added = kept
    dimensions = torch.stack(list(out.dimensions.values()), dim=1).float()
    return Seen(standard, dimensions, out.extras["local_scores"].float() - added, out.extras["weights"].float())


@torch.no_grad()
def input_statistics(scorer: MDIQA, inputs: Tensor, bf16: bool = True) -> Tensor:
    """Returns the statistics ``[B, K]`` of inputs ``[B, 3, H, W]`` under the scorer's backbone."""
    inputs = inputs.to(next(scorer.parameters()).device)
    autocast = partial(torch.autocast, inputs.device.type, torch.bfloat16, enabled=bf16)
    return trunk_statistics(scorer.normalize, trunk_of(scorer).eval(), inputs, autocast)  # stored batch statistics


def trunk_statistics(
    normalize: Callable[[Tensor], Tensor], trunk: nn.Module, inputs: Tensor, autocast: Autocast
) -> Tensor:
    """Returns statistics ``[B, K]`` of inputs ``[B, 3, H, W]`` under a backbone, with a graph where one is built."""
    batch = normalize(inputs).contiguous(memory_format=torch.channels_last)
    with autocast():
        levels = trunk(batch)
    return level_statistics([appearance_maps(inputs), *levels])


def stored(cache: Path, device: str, compute: Callable[[], list[tuple[Tensor, ...]]]) -> tuple[Tensor, ...]:
    """Returns the tensors in a file, on a device; computes, joins and stores them when there is no file."""
    if not cache.is_file():
        joined = tuple(torch.cat(rows).cpu() for rows in zip(*compute()))
        with replacing(cache) as temporary:
            torch.save(joined, temporary)
    return tuple(kept.to(device) for kept in torch.load(cache, weights_only=True))


def batches(rows: list[int], size: int = 32) -> Iterator[tuple[int, list[int]]]:
    """Yields rows in batches, each with the place of its first."""
    for start in range(0, len(rows), size):
        yield start, rows[start : start + size]


def whole_inputs(images: DecodedImages, rows: list[int]) -> Tensor:
    """Returns whole photographs, squashed to 256x256."""
    return torch.stack([resize(images.full(row), SIDE, SIDE) for row in rows])


def scored_statistics(scorer: MDIQA, run: Run) -> tuple[Tensor, ...]:
    """Returns statistics ``[N, K]`` of scored photographs, their rows ``[N]``, and which are whole ``[N]``.

    Each photograph is seen whole at 256x256 and in one random crop (see :func:`scored_inputs`).
    """
    recipe = run.recipe

    def compute() -> list[tuple[Tensor, ...]]:
        found: list[tuple[Tensor, ...]] = []
        for start, chosen in batches(run.training):
            generator = step_generator(recipe.seed + 20, start)
            random = scored_inputs(run.images, chosen, dataclasses.replace(recipe, native=0.5), generator)
            numbers = torch.tensor(chosen)
            for inputs, kind in ((whole_inputs(run.images, chosen), True), (random, False)):
                seen = input_statistics(scorer, inputs, recipe.bf16)
                found.append((seen, numbers, torch.full((len(chosen),), kind)))
            run.progress("statistics of photographs", start + len(chosen), len(run.training))
        return found

    return stored(run.out / "scored.pt", run.device, compute)


def degraded_statistics(scorer: MDIQA, run: Run) -> tuple[Tensor, ...]:
    """Returns statistics ``[G, V, K]`` of degraded versions, with their targets, known and matching dimensions."""
    source = run.source
    recipe = dataclasses.replace(run.recipe, groups=8, crop_sizes=(64, 96, 128, 160, 192, 224))
    total = recipe.warm_groups // recipe.groups

    def compute() -> list[tuple[Tensor, ...]]:
        found: list[tuple[Tensor, ...]] = []
        for step in range(total):
            groups = degraded_groups(source, recipe, step_generator(recipe.seed + 10, step))
            seen = input_statistics(scorer, torch.cat([group.images for group in groups]), recipe.bf16)
            found.append((seen.unflatten(0, (len(groups), recipe.versions)), *stack_groups(groups)))
            run.progress("statistics of degraded versions", step + 1, total)
        return found

    return stored(run.out / "degraded.pt", run.device, compute)


def observed_photographs(scorer: MDIQA, run: Run) -> tuple[Seen, Tensor]:
    """Returns what the whole scorer sees of whole scored photographs at 256x256, and their rows ``[N]``."""

    def compute() -> list[tuple[Tensor, ...]]:
        found: list[tuple[Tensor, ...]] = []
        for start, chosen in batches(run.training):
            seen = observe(scorer, whole_inputs(run.images, chosen), run.recipe.bf16)
            found.append((*seen.tensors, torch.tensor(chosen)))
            run.progress("photographs, whole scorer", start + len(chosen), len(run.training))
        return found

    *seen, numbers = stored(run.out / "observed.pt", run.device, compute)
    return Seen(*seen), numbers


def observed_versions(scorer: MDIQA, run: Run) -> tuple[Seen, Tensor, Tensor]:
    """Returns what the whole scorer sees of degraded versions ``[G, V, ...]``, their targets and matching dimensions.

    They keep the order of the overall score only: a quarter of the warm start's groups is enough. As many again are
    upscales, what the loss is made for: among the others there are too few for their order to be learnt.
    """
    recipe = dataclasses.replace(run.recipe, groups=8)
    total = 2 * max(1, recipe.warm_groups // 4 // recipe.groups)
    upscales = tuple(lesson for lesson in run.source.lessons if lesson.upscales)
    kinds = [
        (run.source, recipe),
        (dataclasses.replace(run.source, lessons=upscales), dataclasses.replace(recipe, base_share=0.0)),
    ]

    def compute() -> list[tuple[Tensor, ...]]:
        found: list[tuple[Tensor, ...]] = []
        for step in range(total):
            source, how = kinds[step % 2]
            groups = degraded_groups(source, how, step_generator(recipe.seed + 40, step))
            seen = observe(scorer, torch.cat([group.images for group in groups]), recipe.bf16)
            shape = (len(groups), recipe.versions)
            targets, _, matching = stack_groups(groups)
            found.append((*(kind.unflatten(0, shape) for kind in seen.tensors), targets, matching))
            run.progress("degraded versions, whole scorer", step + 1, total)
        return found

    *seen, targets, matching = stored(run.out / "versions.pt", run.device, compute)
    return Seen(*seen), targets, matching
