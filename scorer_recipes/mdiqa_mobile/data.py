"""Human-scored photographs (BIQ2021): rows, the published validation split, and a decoded cache."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from iqaloss._files import replacing, write_text
from iqaloss.data.images import open_image, to_bytes_tensor
from iqaloss.data.layouts.reading import get_layout
from iqaloss.data.manifest import Manifest
from iqaloss.data.open import open_rows
from iqaloss.data.scales import Scale
from iqaloss.data.splits import group_order

LAYOUT = "biq2021"
SMALL_TABLE = "scores.csv"
SPLIT_FILE = "validation_split.txt"
SPLIT_SEED = "biq2021-validation-1"
NEVER_SEEN = "ss02 (1014).JPG"
"""An image that the table calls ``.jpg``: the shipped weights were made without it, so other runs are too."""

LEAST = 8
SIDE = 512
"""Side of every decoded photograph; BIQ2021's own, so nothing is resampled."""


def read_rated(folder: str | Path, split: str = "train") -> Manifest:
    """Reads the training rows of BIQ2021, or of a folder with ``scores.csv`` (columns image, mos).

    The official test table is opened only where it is asked for. Rows without an image are left out, and so is
    :data:`NEVER_SEEN`.

    Args:
        folder: BIQ2021 as published (``Images/`` and the tables), or images beside ``scores.csv``.
        split: ``"train"`` or ``"test"``.

    Raises:
        FileNotFoundError: If no table is there.
        ValueError: If a score is not a number in [0, 1], or fewer than 8 rows have an image.
    """
    root = Path(folder)
    if get_layout(LAYOUT).find_tables(root, [split]):
        rated = open_rows(root, layout=LAYOUT, splits=[split], check="none")
    elif split == "train" and (root / SMALL_TABLE).is_file():
        rated = open_rows(root / SMALL_TABLE, scale=Scale(), check="none")
    else:
        tables = [name for table in get_layout(LAYOUT).tables if table.split == split for name in table.patterns]
        tables += [SMALL_TABLE] if split == "train" else []
        raise FileNotFoundError(f"{root} holds none of: {', '.join(map(repr, tables))}")
    kept = (row for row, path in enumerate(rated.images) if path.is_file() and path.name != NEVER_SEEN)
    rated = rated.subset(kept)
    for path, score in zip(rated.images, rated.target()):
        if not 0.0 <= score <= 1.0:
            raise ValueError(f"{root}: the score of {path.name!r} is {score}, expected a number in [0, 1]")
    if len(rated) < LEAST:
        raise ValueError(f"{root}: {len(rated)} rows have an image; at least {LEAST} are needed")
    return rated


def names_of(rated: Manifest) -> list[str]:
    """Returns the file names; the part before the space is the subset (ss01, ss02, ss03)."""
    return [path.name for path in rated.images]


def choose_validation(names: Sequence[str], count: int, seed: str = SPLIT_SEED) -> list[str]:
    """Chooses validation names by a seeded hash, so the choice does not depend on the order of the rows.

    Example:
        >>> choose_validation(["a.jpg", "b.jpg", "c.jpg"], 1) == choose_validation(["c.jpg", "b.jpg", "a.jpg"], 1)
        True
    """
    return sorted(group_order(names, seed)[:count])


def published_validation_names() -> frozenset[str]:
    """Returns the names of the 1,000 training rows that are kept for validation."""
    text = files("scorer_recipes.mdiqa_mobile").joinpath(SPLIT_FILE).read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def split_rows(rated: Manifest, validation: Iterable[str] | None = None) -> tuple[list[int], list[int]]:
    """Splits rows into (training, validation) indices.

    Args:
        rated: The photographs.
        validation: Names to validate on; the published split by default. When none of them is among the rows
            (other data than BIQ2021), a tenth of the rows is chosen by hash.
    """
    names = names_of(rated)
    held = frozenset(published_validation_names() if validation is None else validation)
    if not held.intersection(names):
        held = frozenset(choose_validation(names, max(4, len(names) // 10)))
    return (
        [row for row, name in enumerate(names) if name not in held],
        [row for row, name in enumerate(names) if name in held],
    )


def some_of(rated: Manifest, training: Sequence[int], count: int) -> Manifest:
    """Returns so many of the photographs to train on, chosen by a seeded hash of their names, in their order.

    Args:
        rated: The photographs.
        training: Rows to train on.
        count: How many.

    Raises:
        ValueError: If there are not so many, or fewer than 8 are asked for.
    """
    names = names_of(rated)
    if not LEAST <= count <= len(training):
        raise ValueError(f"{count} photographs were asked for; from {LEAST} to {len(training)} can be had")
    chosen = set(group_order([names[row] for row in training], SPLIT_SEED)[:count])
    return rated.subset(row for row in training if names[row] in chosen)


def clean_rows(rated: Manifest, among: Sequence[int], threshold: float) -> list[int]:
    """Returns the well-scored photographs that degradations start from: Unsplash (ss03), score above a threshold."""
    names, scores = names_of(rated), rated.target()
    clean = [row for row in among if names[row].startswith("ss03") and scores[row] > threshold]
    return clean or sorted(among, key=lambda row: scores[row])[-max(1, len(among) // 5) :]


def decode(path: str | Path, side: int | None = None) -> Tensor:
    """Decodes an image to uint8 RGB ``[3, H, W]``; ``side`` squashes it to a square with antialiasing."""
    from PIL import Image

    image = open_image(path)
    if side is not None and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    return to_bytes_tensor(image)


class DecodedImages:
    """Every photograph decoded once into one memory-mapped uint8 array ``[N, side, side, 3]``.

    Args:
        rated: The photographs.
        cache: File of the array; made when missing (0.8 MB an image).
        side: Side of the decoded squares.
    """

    def __init__(self, rated: Manifest, cache: str | Path, side: int = SIDE) -> None:
        path = Path(cache)
        names = path.with_suffix(".txt")
        listing = "\n".join([str(side), *names_of(rated)])
        if not path.is_file() or not names.is_file() or names.read_text(encoding="utf-8") != listing:
            with replacing(path) as temporary:
                shape = (len(rated), side, side, 3)
                array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
                for index, file in enumerate(rated.images):
                    array[index] = decode(file, side).permute(1, 2, 0).numpy()
                array.flush()
                del array
            write_text(names, listing)
        self.array = np.load(path, mmap_mode="r")

    def __len__(self) -> int:
        return int(self.array.shape[0])

    def full(self, index: int) -> Tensor:
        """Returns a whole photograph, float RGB ``[3, side, side]`` in [0, 1]."""
        return torch.from_numpy(self.array[index].astype(np.float32)).permute(2, 0, 1) / 255.0

    def crop(self, index: int, top: int, left: int, size: int) -> Tensor:
        """Returns a crop at the photograph's own resolution, float RGB ``[3, size, size]`` in [0, 1]."""
        cut = self.array[index, top : top + size, left : left + size]
        return torch.from_numpy(cut.astype(np.float32)).permute(2, 0, 1) / 255.0
