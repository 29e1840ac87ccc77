"""The photographs of a step against opponents; workers may read and degrade them ahead of their time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from scorer_recipes.mdiqa_mobile.inputs import Source, chance, clean_crop, pick, resize, step_generator
from scorer_recipes.mdiqa_mobile.opposition import Opposition


class Shown(NamedTuple):
    """What one step sees, before anything is made of it.

    Attributes:
        originals: Clean crops that opponents restore, ``[B, 3, S, S]``.
        wholes: Whole photographs, half of them degraded.
        plain: Crops of photographs at their own resolution.
        spoilt: The last of these, degraded.
        numbers: Which photographs the crops are of.
    """

    originals: Tensor
    wholes: Tensor
    plain: Tensor
    spoilt: Tensor
    numbers: Tensor

    def to(self, device: str) -> Shown:
        """Returns them on a device."""
        return Shown(*(value.to(device, non_blocking=True) for value in self))


@dataclass(frozen=True)
class StepPictures(Dataset[Shown]):
    """What each step sees, by its number.

    Attributes:
        source: Photographs, which of them are clean, and how they are degraded.
        training: Numbers of the photographs to learn from.
        plan: The settings.
    """

    source: Source
    training: list[int]
    plan: Opposition

    def __getitem__(self, step: int) -> Shown:
        """Returns what a step sees, a function of the seed and the step."""
        generator = step_generator(self.plan.seed, step, 14)
        return Shown(self._originals(generator), self._wholes(generator), *self._crops(generator))

    def originals(self, count: int, size: int, generator: Generator) -> Tensor:
        """Returns clean crops ``[count, 3, size, size]``."""
        source = self.source
        chosen = torch.randint(len(source.clean), (count,), generator=generator).tolist()
        return torch.stack([clean_crop(source.images, source.clean[number], size, generator) for number in chosen])

    def _originals(self, generator: Generator) -> Tensor:
        sizes = self.plan.sizes
        return self.originals(self.plan.batch, sizes[pick(generator, len(sizes))], generator)

    def _wholes(self, generator: Generator) -> Tensor:
        plan, images = self.plan, self.source.images
        rows = [self.training[pick(generator, len(self.training))] for _ in range(plan.wholes)]
        side = plan.whole_sides[pick(generator, len(plan.whole_sides))]
        whole, half = [resize(images.full(row), side, side) for row in rows], plan.wholes // 2
        return torch.stack(whole[:half] + [self._degraded(image, generator) for image in whole[half:]])

    def _crops(self, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
        plan, images = self.plan, self.source.images
        extent = int(images.array.shape[1])
        size = min(extent, plan.crop_sizes[pick(generator, len(plan.crop_sizes))])
        numbers = [self.training[pick(generator, len(self.training))] for _ in range(2 * plan.wholes)]
        most = extent - size + 1
        cuts = [images.crop(row, pick(generator, most), pick(generator, most), size) for row in numbers]
        spoilt = [self._degraded(cut, generator) for cut in cuts[plan.wholes // 2 :]]
        return torch.stack(cuts), torch.stack(spoilt), torch.tensor(numbers)

    def _degraded(self, image: Tensor, generator: Generator) -> Tensor:
        lessons = self.source.lessons
        lesson = lessons[pick(generator, len(lessons))]
        return lesson.degradation(image, 0.1 + 0.9 * chance(generator), generator)


def ahead(pictures: StepPictures, steps: range, workers: int) -> Iterable[Shown]:
    """Yields what the steps see, in their order, whatever number of processes makes it.

    Args:
        pictures: What each step sees.
        steps: The steps' numbers.
        workers: Processes that work ahead; 0 for none.
    """
    fork = "fork" if workers else None  # what is done to photographs holds functions that cannot be sent
    return DataLoader(
        pictures,
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        multiprocessing_context=fork,
        prefetch_factor=4 if workers else None,
    )
