"""Training pictures in an order that can be entered at any place, and the validation's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import Dataset, Sampler

from iqaloss.integrations.basicsr.drawing import drawing
from iqaloss.integrations.basicsr.recipe import RecipeError

Draw = tuple[int, int, int]
"""Epoch, place in it, and the picture's index."""


class Order(Sampler[Draw]):
    """BasicSR's order of an epoch, from a place in it on.

    Args:
        sampler: BasicSR's sampler.
    """

    def __init__(self, sampler: Any) -> None:
        self.sampler, self.epoch, self.first = sampler, 0, 0

    def begin(self, epoch: int, first: int) -> None:
        """Sets the epoch that comes next, and how many of its pictures are left out."""
        self.sampler.set_epoch(epoch)
        self.epoch, self.first = epoch, first

    def __iter__(self) -> Iterator[Draw]:
        for place, index in enumerate(self.sampler):
            if place >= self.first:
                yield self.epoch, place, index

    def __len__(self) -> int:
        return len(self.sampler)


class Drawn(Dataset[Any]):
    """A dataset of BasicSR whose crops and turns follow from the place in the epoch alone, in any worker.

    Args:
        dataset: The dataset.
        seed: The training's seed.
        rank: This process's number.
    """

    def __init__(self, dataset: Any, seed: int, rank: int) -> None:
        self.dataset, self.seed, self.rank = dataset, seed, rank

    def __getitem__(self, draw: Draw) -> Any:
        epoch, place, index = draw
        with drawing(self.seed, self.rank, epoch, place):
            return self.dataset[index]

    def __len__(self) -> int:
        return len(self.dataset)


def training_pictures(opt: dict[str, Any]) -> tuple[Any, Order]:
    """Returns BasicSR's loader of training pictures, and their order.

    Raises:
        RecipeError: If there are too few for one batch.
    """
    from basicsr.data import build_dataloader, build_dataset
    from basicsr.data.data_sampler import EnlargedSampler

    data = dict(opt["datasets"]["train"])
    if data.get("prefetch_mode") == "cpu" and data["num_worker_per_gpu"] == 0:
        del data["prefetch_mode"]  # its thread would draw in the middle of the step's own drawing
    dataset = build_dataset(data)
    order = Order(EnlargedSampler(dataset, opt["world_size"], opt["rank"], data.get("dataset_enlarge_ratio") or 1))
    drawn = Drawn(dataset, opt["manual_seed"], opt["rank"])
    loader = build_dataloader(drawn, data, opt["num_gpu"], opt["dist"], order, opt["manual_seed"])
    if len(loader) == 0:
        raise RecipeError(
            f"datasets.train has {len(dataset)} image(s), too few for one batch of "
            f"{data['batch_size_per_gpu']}: raise dataset_enlarge_ratio or lower batch_size_per_gpu"
        )
    return loader, order


def validation_pictures(opt: dict[str, Any]) -> list[Any]:
    """Returns BasicSR's loaders of validation pictures."""
    from basicsr.data import build_dataloader, build_dataset

    phases = {phase: data for phase, data in opt["datasets"].items() if phase != "train"}
    return [
        build_dataloader(build_dataset(data), data, opt["num_gpu"], opt["dist"], None, opt["manual_seed"])
        for data in phases.values()
    ]


def batches(loader: Any, opt: dict[str, Any]) -> Iterator[Any]:
    """Yields one epoch's batches through the prefetcher that the recipe names."""
    from basicsr.data.prefetch_dataloader import CPUPrefetcher, CUDAPrefetcher

    on_gpu = opt["datasets"]["train"].get("prefetch_mode") == "cuda"
    prefetcher = CUDAPrefetcher(loader, opt) if on_gpu else CPUPrefetcher(loader)
    while (batch := prefetcher.next()) is not None:
        yield batch
