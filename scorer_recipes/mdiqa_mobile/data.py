"""Human-scored photographs (BIQ2021): rows, the published validation split, and a decoded cache."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

TRAIN_TABLE = "Train (Images and MOS).csv"
TEST_TABLE = "Test (Images and MOS).csv"
SMALL_TABLE = "scores.csv"
SPLIT_FILE = "validation_split.txt"
SPLIT_SEED = "biq2021-validation-1"
SIDE = 512
"""Side of every decoded photograph; BIQ2021's own, so nothing is resampled."""


@dataclass(frozen=True)
class Rows:
    """Photographs with their mean opinion scores.

    Attributes:
        paths: Image files.
        scores: Mean opinion scores in [0, 1], higher is better.
    """

    paths: tuple[Path, ...]
    scores: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """File names; the part before the space is the subset (ss01, ss02, ss03)."""
        return tuple(path.name for path in self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, keep: Iterable[int]) -> Rows:
        """Returns the rows with the given indices."""
        kept = list(keep)
        return Rows(tuple(self.paths[i] for i in kept), tuple(self.scores[i] for i in kept))


def read_rows(folder: str | Path, tables: Sequence[str] = (TRAIN_TABLE, SMALL_TABLE)) -> Rows:
    """Reads the training rows of BIQ2021, or of a folder with ``scores.csv`` (columns image, mos).

    The official test table is opened only where it is asked for. Rows without an image (there is one) are left out.

    Args:
        folder: BIQ2021 as published (``Images/`` and the tables), or images beside ``scores.csv``.
        tables: Names of tables; the first that exists is read.

    Raises:
        FileNotFoundError: If neither table is there.
        ValueError: If a score is not a number in [0, 1], or fewer than 8 rows have an image.
    """
    root = Path(folder)
    table = next((root / name for name in tables if (root / name).is_file()), None)
    if table is None:
        raise FileNotFoundError(f"{root} holds none of: {', '.join(map(repr, tables))}")
    images = root / "Images" if (root / "Images").is_dir() else root
    paths, scores = [], []
    with table.open(newline="", encoding="utf-8-sig") as file:
        for row in list(csv.reader(file))[1:]:
            if len(row) < 2 or not row[0] or not (images / row[0]).is_file():
                continue
            score = float(row[1])
            if not 0.0 <= score <= 1.0:
                raise ValueError(f"{table}: the score of {row[0]!r} is {score}, expected a number in [0, 1]")
            paths.append(images / row[0])
            scores.append(score)
    if len(paths) < 8:
        raise ValueError(f"{table} names {len(paths)} images that exist in {images}; at least 8 are needed")
    return Rows(tuple(paths), tuple(scores))


def choose_validation(names: Sequence[str], count: int, seed: str = SPLIT_SEED) -> list[str]:
    """Chooses validation names by a seeded hash, so the choice does not depend on the order of the rows.

    Example:
        >>> choose_validation(["a.jpg", "b.jpg", "c.jpg"], 1) == choose_validation(["c.jpg", "b.jpg", "a.jpg"], 1)
        True
    """
    return sorted(sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest())[:count])


def published_validation_names() -> frozenset[str]:
    """Returns the names of the 1,000 training rows that are kept for validation."""
    text = files("scorer_recipes.mdiqa_mobile").joinpath(SPLIT_FILE).read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def split_rows(rows: Rows, validation: Iterable[str] | None = None) -> tuple[list[int], list[int]]:
    """Splits rows into (training, validation) indices.

    Args:
        rows: The rows.
        validation: Names to validate on; the published split by default. When none of them is among the rows
            (other data than BIQ2021), a tenth of the rows is chosen by hash.
    """
    held = frozenset(published_validation_names() if validation is None else validation)
    if not held.intersection(rows.names):
        held = frozenset(choose_validation(rows.names, max(4, len(rows) // 10)))
    return (
        [i for i, name in enumerate(rows.names) if name not in held],
        [i for i, name in enumerate(rows.names) if name in held],
    )


def clean_indices(rows: Rows, among: Sequence[int], threshold: float) -> list[int]:
    """Returns the well-scored photographs that degradations start from: Unsplash (ss03), score above a threshold."""
    clean = [i for i in among if rows.names[i].startswith("ss03") and rows.scores[i] > threshold]
    return clean or sorted(among, key=lambda i: rows.scores[i])[-max(1, len(among) // 5) :]


def decode(path: str | Path, side: int | None = None) -> Tensor:
    """Decodes an image to uint8 RGB ``[3, H, W]``; ``side`` squashes it to a square with antialiasing."""
    from PIL import Image

    with Image.open(path) as image:
        rgb = image.convert("RGB")
        if side is not None and rgb.size != (side, side):
            rgb = rgb.resize((side, side), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.asarray(rgb).copy()).permute(2, 0, 1)


class DecodedImages:
    """Every photograph decoded once into one memory-mapped uint8 array ``[N, side, side, 3]``.

    Args:
        rows: The photographs.
        cache: File of the array; made when missing (0.8 MB an image), through a temporary name.
        side: Side of the decoded squares.
    """

    def __init__(self, rows: Rows, cache: str | Path, side: int = SIDE) -> None:
        path = Path(cache)
        names = path.with_suffix(".txt")
        listing = "\n".join([str(side), *rows.names])
        if not path.is_file() or not names.is_file() or names.read_text(encoding="utf-8") != listing:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial")
            array = np.lib.format.open_memmap(partial, mode="w+", dtype=np.uint8, shape=(len(rows), side, side, 3))
            for index, file in enumerate(rows.paths):
                array[index] = decode(file, side).permute(1, 2, 0).numpy()
            array.flush()
            del array
            os.replace(partial, path)
            names.write_text(listing, encoding="utf-8")
        self.array = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return int(self.array.shape[0])

    def full(self, index: int) -> Tensor:
        """Returns a whole photograph, float RGB ``[3, side, side]`` in [0, 1]."""
        return torch.from_numpy(self.array[index].astype(np.float32)).permute(2, 0, 1) / 255.0

    def crop(self, index: int, top: int, left: int, size: int) -> Tensor:
        """Returns a crop at the photograph's own resolution, float RGB ``[3, size, size]`` in [0, 1]."""
        part = self.array[index, top : top + size, left : left + size]
        return torch.from_numpy(part.astype(np.float32)).permute(2, 0, 1) / 255.0
