"""Which images a step sees: a pure function of the seed and the step, so that resuming needs the step alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

_ORDER, _IMAGE, _DRAW = 1, 2, 3


def mixed_seed(*numbers: int) -> int:
    """Returns a 63-bit seed that depends on every number.

    Example:
        >>> mixed_seed(0, 1) != mixed_seed(1, 0)
        True
    """
    return int(np.random.SeedSequence(list(numbers)).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class Pick:
    """One sample to load: its index and the seed of its augmentation."""

    index: int
    seed: int


@dataclass(frozen=True)
class Shards:
    """How a batch is divided: over processes, and within each over passes whose gradients add up."""

    rank: int = 0
    ranks: int = 1
    passes: int = 1

    def size(self, batch: int, name: str) -> int:
        """Returns the samples of one pass of one rank; raises ``ValueError`` where the batch does not divide."""
        pieces = self.ranks * self.passes
        if batch % pieces:
            raise ValueError(
                f"batch_size {batch} of {name} is the number of images in one step over all processes; it must be "
                f"a multiple of {self.ranks} processes x {self.passes} accumulated passes = {pieces}"
            )
        return batch // pieces


@dataclass(frozen=True)
class DataPlan:
    """The order in which one data set is visited.

    Attributes:
        name: Its name, for messages.
        number: Its number; data sets of the same size share the order of images but not the augmentation.
        count: Images in the data set.
        batch: Images in one step, over all processes and accumulated passes.
        seed: Seed of the training.
        drop_last: Whether images that do not fill the last batch of an epoch wait for another epoch; otherwise
            the batch is filled up from the epoch's start.
    """

    name: str
    number: int
    count: int
    batch: int
    seed: int
    drop_last: bool = False

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"the data set {self.name} is empty")
        if self.batch < 1:
            raise ValueError(f"batch_size of {self.name} must be at least 1, got {self.batch}")

    @property
    def steps_per_epoch(self) -> int:
        """Batches of one pass over the data; at least one."""
        full = self.count // self.batch if self.drop_last else -(-self.count // self.batch)
        return max(1, full)

    def picks(self, turn: int) -> list[Pick]:
        """Returns the whole batch of the data set's turn (0, 1, ...)."""
        epoch, place = divmod(turn, self.steps_per_epoch)
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, _ORDER, epoch))
        order = torch.randperm(self.count, generator=generator).tolist()
        first = place * self.batch
        return [
            Pick(order[i % self.count], mixed_seed(self.seed, _IMAGE, self.number, turn, i - first))
            for i in range(first, first + self.batch)
        ]

    def shard(self, turn: int, shards: Shards, number: int) -> list[Pick]:
        """Returns what one rank loads for the pass of a number.

        The shards of all ranks in order make up a contiguous piece of the batch, so that gathered predictions
        stand in the order of one process.
        """
        size = shards.size(self.batch, self.name)
        start = (number * shards.ranks + shards.rank) * size
        return self.picks(turn)[start : start + size]


def turns(plans: list[DataPlan], draw: str, seed: int) -> Iterator[dict[int, int]]:
    """Yields, step by step, which data sets have a batch and which turn of theirs it is: number of the set to turn.

    Args:
        plans: The data sets.
        draw: ``"all"``: every data set at every step; ``"one"``: a single one, drawn at random without
            replacement from the batches that are left of the epoch.
        seed: Seed of the draws.
    """
    if draw == "all":
        step = 0
        while True:
            yield {plan.number: step for plan in plans}
            step += 1
    epoch = 0
    while True:
        lot = [plan for plan in plans for _ in range(plan.steps_per_epoch)]
        generator = torch.Generator().manual_seed(mixed_seed(seed, _DRAW, epoch))
        used = {plan.number: epoch * plan.steps_per_epoch for plan in plans}
        for i in torch.randperm(len(lot), generator=generator).tolist():
            number = lot[i].number
            yield {number: used[number]}
            used[number] += 1
        epoch += 1


def steps_per_epoch(plans: list[DataPlan], draw: str) -> int:
    """Steps until every image was visited once: of the longest data set, or of all together."""
    lengths = [plan.steps_per_epoch for plan in plans]
    return max(lengths) if draw == "all" else sum(lengths)
