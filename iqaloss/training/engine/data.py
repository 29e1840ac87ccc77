"""Batches for a training: from a recipe's data to what each process loads for each pass."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from iqaloss._errors import unknown_name
from iqaloss.data.dataset import ManifestDataset, Transform, collate, open_image
from iqaloss.data.library import Library
from iqaloss.data.manifest import SCORE, Manifest
from iqaloss.data.open import open_rows
from iqaloss.data.prompts import with_prompts
from iqaloss.data.scenes import match_scenes
from iqaloss.data.splits import own_shares, split_manifest
from iqaloss.data.text_tables import open_text
from iqaloss.data.vocabulary import find_column
from iqaloss.training.engine.sampling import DataPlan, Pick, Shards, mixed_seed
from iqaloss.training.specs.data import DataSpec, MethodsSpec

Item = dict[str, Any]


class PickedData(Protocol):
    """A data set that is asked for an index together with the seed of the draw."""

    def __len__(self) -> int: ...

    def __getitem__(self, pick: Pick) -> Item: ...


class _SeededDataset(ManifestDataset):
    """A manifest whose draws depend on a seed that is set before each access, in the same process."""

    current: int = 0

    def generator(self, index: int, version: int = 0) -> torch.Generator:
        """Returns the generator of the current draw."""
        return torch.Generator().manual_seed(mixed_seed(self.current, version))


class RatedImages(Dataset[Item]):
    """Rated images; ``score`` is the column that is learnt, in [0, 1], and ``draw`` the seed of the draw.

    For each dimension that is learnt beside it there is ``target <name>``, NaN where the table's cell is empty; where
    several people or models vote, ``votes``, the score of each.
    """

    def __init__(self, manifest: Manifest, spec: DataSpec) -> None:
        self.manifest = manifest
        self.source = _SeededDataset(manifest, spec.transform, targets=(), versions=spec.versions)
        self.targets = torch.from_numpy(manifest.target(spec.target).astype(np.float32))
        columns = {name: find_column(manifest.dimensions, name) for name in spec.dimensions}
        self.dimensions = {
            name: torch.from_numpy(manifest.target(column).astype(np.float32))
            for name, column in columns.items()
            if column is not None
        }
        each = [manifest.target(SCORE if name == spec.score_column else name) for name in spec.votes]
        self.votes = torch.from_numpy(np.stack(each, 1).astype(np.float32)) if each else None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, pick: Pick) -> Item:
        self.source.current = pick.seed
        item = self.source[pick.index]
        beside = {f"target {name}": values[pick.index] for name, values in self.dimensions.items()}
        beside |= {} if self.votes is None else {"votes": self.votes[pick.index]}
        return {**item, **beside, "score": self.targets[pick.index], "draw": pick.seed}


class RankedMethods(Dataset[Item]):
    """Images of restoration methods: an item holds every method's image of one scene, ``[M, 3, H, W]``.

    Scenes are matched by file name (:func:`iqaloss.data.scenes.match_scenes`).

    Args:
        spec: The folder, the ranking and the transform.

    Raises:
        ValueError: If the ranking names a method that has no folder, or a method lacks a scene.
    """

    def __init__(self, spec: MethodsSpec) -> None:
        self.spec = spec
        ranking = read_ranking(spec.ranking)
        folders = sorted(path.name for path in Path(spec.folder).iterdir() if path.is_dir())
        for name in ranking:
            if name not in folders:
                raise ValueError(f"{spec.folder}: {unknown_name('method folder', name, folders)}")
        self.names = tuple(ranking)
        self.ranks = torch.tensor(list(ranking.values()), dtype=torch.float32)
        self.scenes = list(match_scenes(spec.folder, self.names).values())

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, pick: Pick) -> Item:
        item: Item = {"index": pick.index, "draw": pick.seed, "ranks": self.ranks}
        transforms: dict[str, Transform] = {"image": self.spec.transform, **self.spec.versions}
        images = [open_image(path) for path in self.scenes[pick.index]]
        for number, (name, transform) in enumerate(transforms.items()):
            versions = [
                transform([image], torch.Generator().manual_seed(mixed_seed(pick.seed, number, method)))[0]
                for method, image in enumerate(images)
            ]
            item[name] = torch.stack(versions)
        return item


def read_ranking(path: str | Path) -> dict[str, float]:
    """Reads a CSV with the columns ``method`` and ``score``.

    Raises:
        ValueError: If a column is missing, a score is no number, or there are fewer than two methods.
    """
    with open_text(Path(path)) as file:
        rows = list(csv.DictReader(file))
    found: dict[str, float] = {}
    for line, row in enumerate(rows, start=2):
        try:
            found[str(row["method"])] = float(row["score"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{path} line {line}: needs the columns method and score (a number), got {row}") from None
    if len(found) < 2:
        raise ValueError(f"{path} must rank at least two methods, got {len(found)}")
    return found


def load_manifest(spec: DataSpec, library: Library | None = None, least: int = 1) -> Manifest:
    """Reads the rows of a table or a published set that a recipe names, all of which can be learnt from.

    Args:
        spec: What to read. Where bad rows are left out, every image is decoded once to find them.
        library: Remembers what was read before, for several data sets over one table.
        least: The smallest side that the scorer takes.

    Raises:
        ManifestError: If rows are bad, those with an image that is too small included.
    """
    library = library or Library()
    try:
        manifest = _opened(spec, library)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"recipe.data: {error} (the data set {spec.name!r})") from error
    if spec.prompts is not None:
        manifest = with_prompts(manifest, spec.prompts)
    if spec.share is not None:
        apart = replace(manifest, groups=None) if spec.split_by == "image" else manifest
        split = own_shares if spec.split_by == "table" else split_manifest
        manifest = split(apart, spec.shares, spec.split_seed)[spec.share]
    # Only now: data sets with other targets must split the same rows, or their shares would overlap.
    manifest = _large_enough(manifest.with_target(spec.target, spec.skip_bad), spec, library, least)
    return manifest if spec.limit is None else manifest.subset(range(min(spec.limit, len(manifest))))


def _opened(spec: DataSpec, library: Library) -> Manifest:
    return open_rows(
        spec.data,
        spec.images,
        layout=spec.layout,
        splits=None if spec.split is None else [spec.split],
        scale=spec.scale,
        lower_is_better=spec.lower_is_better,
        score_column=spec.score_column,
        skip_bad=spec.skip_bad,
        check="decode" if spec.skip_bad else "header",
        library=library,
    )


def _large_enough(manifest: Manifest, spec: DataSpec, library: Library, least: int) -> Manifest:
    def problem(row: int) -> str | None:
        size = library.size(manifest.images[row])
        return next((told for each in transforms if (told := each.problem(*size, least=least))), None)

    transforms = (spec.transform, *spec.versions.values())
    return manifest.without({row: told for row in range(len(manifest)) if (told := problem(row))}, spec.skip_bad)


class _Batches:
    """Yields, without end, the picks of one rank for pass after pass."""

    def __init__(self, plan: DataPlan, shards: Shards, first_turn: int) -> None:
        self.plan, self.shards, self.first_turn = plan, shards, first_turn

    def __iter__(self) -> Iterator[list[Pick]]:
        turn = self.first_turn
        while True:
            for number in range(self.shards.passes):
                yield self.plan.shard(turn, self.shards, number)
            turn += 1


def endless_loader(
    data: PickedData, plan: DataPlan, shards: Shards, *, first_turn: int, workers: int, pin: bool
) -> Iterator[Item]:
    """Returns an iterator over one rank's batches, from a turn on; it draws from no global random generator."""
    loader: DataLoader[Item] = DataLoader(
        data,  # type: ignore[arg-type]
        batch_sampler=_Batches(plan, shards, first_turn),  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        generator=torch.Generator(),
    )
    return iter(loader)


def sharded_loader(data: PickedData, picks: Sequence[Pick], batch_size: int, workers: int) -> DataLoader[Item]:
    """Returns a loader of given picks in order; images of different sizes need a batch size of 1."""
    return DataLoader(
        data,  # type: ignore[arg-type]
        sampler=list(picks),  # type: ignore[arg-type]
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate,
        generator=torch.Generator(),
    )


def to_device(batch: Mapping[str, Any], device: torch.device) -> Item:
    """Moves a batch's tensors to a device."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in batch.items()
    }
