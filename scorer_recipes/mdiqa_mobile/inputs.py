"""What the scorer sees in one training step; every choice is a function of the seed and the step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from iqaloss.evaluation.probes.degradations import PROPERTIES
from scorer_recipes.mdiqa_mobile.data import DecodedImages
from scorer_recipes.mdiqa_mobile.lessons import LESSONS, Lesson
from scorer_recipes.mdiqa_mobile.recipe import Recipe


@dataclass(frozen=True)
class Source:
    """Where degraded versions come from.

    Attributes:
        images: Decoded photographs.
        clean: Numbers of the clean ones.
        lessons: What is done to them, and what is taught of it.
    """

    images: DecodedImages
    clean: list[int]
    lessons: tuple[Lesson, ...] = LESSONS


@dataclass(frozen=True)
class Group:
    """A clean photograph and increasingly degraded versions of it.

    Attributes:
        images: ``[V, 3, S, S]``, the least degraded first.
        targets: Target of each dimension, ``[V, D]``.
        known: 1 for dimensions with a target, 0 for those that the degradation may move, ``[D]``.
        matching: 1 for the dimension that falls, ``[D]``.
    """

    images: Tensor
    targets: Tensor
    known: Tensor
    matching: Tensor


def step_generator(seed: int, step: int, use: int = 0) -> Generator:
    """Returns the random generator of one step, another for each of up to 16 uses."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) * 16 + use)


def pick(generator: Generator, count: int) -> int:
    """Draws a number below a count."""
    return int(torch.randint(count, (), generator=generator))


def chance(generator: Generator) -> float:
    """Draws a number in [0, 1)."""
    return float(torch.rand((), generator=generator))


def epoch_rows(rows: list[int], batch: int, seed: int, step: int) -> list[int]:
    """Returns the rows of a step: every pass visits all rows once, in an order of its own."""
    per_epoch = max(1, len(rows) // batch)
    epoch, place = divmod(step, per_epoch)
    order = torch.randperm(len(rows), generator=step_generator(seed, epoch, 1)).tolist()
    return [rows[i] for i in order[place * batch : (place + 1) * batch]]


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Resizes ``[3, H, W]`` with antialiasing; halving is exact box averaging."""
    if tuple(image.shape[1:]) == (height, width):
        return image
    if tuple(image.shape[1:]) == (2 * height, 2 * width):
        return F.avg_pool2d(image[None], 2)[0]
    return F.interpolate(image[None], (height, width), mode="bilinear", antialias=True, align_corners=False)[0]


def scored_inputs(images: DecodedImages, rows: list[int], recipe: Recipe, generator: Generator) -> Tensor:
    """Returns inputs ``[B, 3, S, S]`` of scored photographs: nearly whole ones, or crops at their own resolution."""
    native = chance(generator) < recipe.native
    size = recipe.sizes[pick(generator, len(recipe.sizes))]
    side = int(images.array.shape[1])
    inputs = []
    for row in rows:
        if native:
            size = min(size, side)
            top, left = pick(generator, side - size + 1), pick(generator, side - size + 1)
            image = images.crop(row, top, left, size)
        else:
            cut = side if chance(generator) < 0.5 else round(side * (0.8 + 0.2 * chance(generator)))
            top, left = pick(generator, side - cut + 1), pick(generator, side - cut + 1)
            image = resize(images.crop(row, top, left, cut), size, size)
        inputs.append(image.flip(2) if chance(generator) < 0.5 else image)
    return torch.stack(inputs)


def clean_crop(images: DecodedImages, row: int, size: int, generator: Generator) -> Tensor:
    """Returns a crop ``[3, size, size]`` of a photograph at its own resolution, or shrunk to 3/4 or a half of it."""
    side = int(images.array.shape[1])
    scale = (1.0, 4 / 3, 2.0)[pick(generator, 3)]
    cut = min(side, round(size * scale))
    top, left = pick(generator, side - cut + 1), pick(generator, side - cut + 1)
    image = resize(images.crop(row, top, left, cut), size, size)
    return image.flip(2) if chance(generator) < 0.5 else image


def degraded_group(
    clean: Tensor,
    lesson: Lesson,
    recipe: Recipe,
    generator: Generator,
    lessons: tuple[Lesson, ...] = LESSONS,
) -> Group:
    """Degrades a clean photograph by one degradation in increasing strengths, sometimes on top of another one."""
    count = len(PROPERTIES)
    own = PROPERTIES.index(lesson.dimension)
    base = torch.full((count,), recipe.clean_target)
    known = torch.ones(count)
    if chance(generator) < recipe.base_share:
        others = [other for other in lessons if other.dimension != lesson.dimension]
        other = others[pick(generator, len(others))]
        strength = 0.15 + 0.65 * chance(generator)
        clean = other.degradation(clean, strength, generator)
        base[PROPERTIES.index(other.dimension)] -= other.target_fall(strength)
        for name in other.free:
            known[PROPERTIES.index(name)] = 0.0
    for name in lesson.free:
        known[PROPERTIES.index(name)] = 0.0
    known[own] = 1.0
    steps = recipe.versions - 1
    # One strength in each of equal intervals: ordered, never the same twice, both ends reached.
    strengths = [(k + chance(generator)) / steps for k in range(steps)]
    strengths = [max(0.08, min(1.0, strength)) for strength in strengths]
    versions, targets = [clean], [base]
    for strength in strengths:
        versions.append(lesson.degradation(clean, strength, generator))
        target = base.clone()
        target[own] -= lesson.target_fall(strength)
        targets.append(target)
    matching = torch.zeros(count)
    matching[own] = 1.0
    return Group(torch.stack(versions), torch.stack(targets), known, matching)


def degraded_groups(source: Source, recipe: Recipe, generator: Generator) -> list[Group]:
    """Returns the groups of a step, all of one crop size; every dimension that can be lost is drawn equally often."""
    images, clean, lessons = source.images, source.clean, source.lessons
    lost = [name for name in PROPERTIES if any(lesson.dimension == name for lesson in lessons)]
    size = min(recipe.crop_sizes[pick(generator, len(recipe.crop_sizes))], int(images.array.shape[1]))
    groups = []
    for _ in range(recipe.groups):
        name = lost[pick(generator, len(lost))]
        fitting = [lesson for lesson in lessons if lesson.dimension == name]
        lesson = fitting[pick(generator, len(fitting))]
        crop = clean_crop(images, clean[pick(generator, len(clean))], size, generator)
        groups.append(degraded_group(crop, lesson, recipe, generator, lessons))
    return groups


def stack_groups(groups: list[Group]) -> tuple[Tensor, Tensor, Tensor]:
    """Returns targets ``[G, V, D]``, known ``[G, D]`` and matching ``[G, D]`` of groups."""
    return (
        torch.stack([group.targets for group in groups]),
        torch.stack([group.known for group in groups]),
        torch.stack([group.matching for group in groups]),
    )
