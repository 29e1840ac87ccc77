"""The data sets of a training, opened at any step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch

from iqaloss.data.library import Library
from iqaloss.data.manifest import Manifest
from iqaloss.scorers.registry import entry
from iqaloss.training.engine.data import (
    Item,
    PickedData,
    RankedMethods,
    RatedImages,
    endless_loader,
    load_manifest,
)
from iqaloss.training.engine.sampling import DataPlan, Shards, steps_per_epoch, turns
from iqaloss.training.specs.data import DataSpec
from iqaloss.training.specs.recipe import Recipe


class DataSets:
    """Training and validation sets of a recipe, for one process.

    Args:
        recipe: The recipe.
        shards: Which share of each batch this process loads.
        device: Where batches go.
    """

    def __init__(self, recipe: Recipe, shards: Shards, device: torch.device) -> None:
        self.recipe, self.shards = recipe, shards
        self.pin = device.type == "cuda"
        data, library, least = recipe.data, Library(), entry(recipe.scorer.name).card.min_side
        self.train: dict[str, PickedData] = {
            spec.name: RatedImages(load_manifest(spec, library, least), spec) for spec in data.train
        }
        sizes = {spec.name: spec.batch_size for spec in data.train}
        if data.methods is not None:
            self.train[data.methods.name] = RankedMethods(data.methods)
            sizes[data.methods.name] = data.methods.batch_size
        if not self.train:
            raise ValueError("recipe.data.train is empty: there is nothing to learn from")
        for name, size in sizes.items():
            shards.size(size, name)
        self.plans = [
            DataPlan(name, number, len(source), sizes[name], recipe.run.seed, data.drop_last)
            for number, (name, source) in enumerate(self.train.items())
        ]
        self.validation: dict[str, tuple[DataSpec, RatedImages]] = {
            spec.name: (spec, RatedImages(load_manifest(spec, library, least), spec)) for spec in data.validation
        }
        for name, (_, held) in self.validation.items():
            _check_can_choose(name, held)
        self._loaders: dict[str, Iterator[Item]] = {}

    def digests(self) -> dict[str, str]:
        """Returns a digest of the rows of every rated set: a training that resumes must see the same."""
        return {name: manifest.digest() for name, manifest in self.manifests().items()}

    @property
    def epoch_steps(self) -> int:
        """Steps of one pass over the data."""
        return steps_per_epoch(self.plans, self.recipe.data.draw)

    def skipped(self) -> dict[str, int]:
        """Returns how many bad rows each rated set goes on without."""
        return {name: len(manifest.skipped) for name, manifest in self.manifests().items()}

    def taken(self) -> list[str]:
        """Returns which column of each table the human scores are and which end of it is good, each said once."""
        return list(dict.fromkeys(rows.taken for rows in self.manifests().values() if rows.taken))

    def own_splits(self) -> list[str]:
        """Returns what of a table's own split each set takes, for people."""
        specs = (*self.recipe.data.train, *self.recipe.data.validation)
        rows = self.manifests()
        found = {spec.name: rows[spec.name] for spec in specs if spec.split_by == "table"}
        return [
            f"{name}: {len(rows)} rows of the table's own split {' and '.join(sorted(set(rows.splits)))}"
            for name, rows in found.items()
            if rows.splits is not None
        ]

    def dimensions(self) -> dict[str, tuple[str, ...]]:
        """Returns the dimensions of which each training set has a column to learn from."""
        return {name: tuple(data.dimensions) for name, data in self.train.items() if isinstance(data, RatedImages)}

    def manifests(self) -> dict[str, Manifest]:
        """Returns the rows of every rated set, by its name."""
        rated = {name: data.manifest for name, data in self.train.items() if isinstance(data, RatedImages)}
        return rated | {name: data.manifest for name, (_, data) in self.validation.items()}

    def open(self, step: int) -> DataSets:
        """Starts the loaders so that the next batch is that of ``step``."""
        used = dict.fromkeys((plan.number for plan in self.plans), 0)
        if self.recipe.data.draw == "all":
            used = dict.fromkeys(used, step)
        else:
            for chosen in islice(turns(self.plans, "one", self.recipe.run.seed), step):
                for number in chosen:
                    used[number] += 1
        self._loaders = {
            plan.name: endless_loader(
                self.train[plan.name],
                plan,
                self.shards,
                first_turn=used[plan.number],
                workers=self.recipe.data.workers,
                pin=self.pin,
            )
            for plan in self.plans
        }
        return self

    def close(self) -> None:
        """Stops the loaders."""
        self._loaders.clear()

    def next(self, name: str) -> Item:
        """Returns this process's batch of a data set's next pass."""
        return next(self._loaders[name])

    def passes(self, chosen: dict[int, int]) -> list[tuple[str, ...]]:
        """Returns the data sets of every pass through the model in a step."""
        names = tuple(plan.name for plan in self.plans if plan.number in chosen)
        together: list[tuple[str, ...]] = [(name,) for name in names] if self.recipe.data.sequential else [names]
        return together * self.shards.passes


def _check_can_choose(name: str, held: RatedImages) -> None:
    """Raises ``ValueError`` for validation images that no correlation can be taken of."""
    if len(held) < 2 or bool((held.targets == held.targets[0]).all()):
        what = f"{len(held)} image{'s' * (len(held) != 1)}" + " of one score" * (len(held) > 1)
        raise ValueError(
            f"the validation set {name!r} holds {what}, of which no correlation can be taken to choose the best "
            "checkpoint by; hold out more (--validation 0.5, say), or add images"
        )
