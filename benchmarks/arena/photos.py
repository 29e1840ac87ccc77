"""Originals in memory: random patches to learn from, fixed crops to compare on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from iqaloss._progress import progress
from iqaloss.data.images import open_image, to_bytes_tensor
from iqaloss.data.manifest import Manifest
from iqaloss.data.open import open_rated
from iqaloss.data.sources import Folder

Item = TypeVar("Item")


def photos_in(folder: Path) -> list[Path]:
    """Returns a folder's image files, in the order of their names.

    Raises:
        FileNotFoundError: If there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no such folder of photographs: {folder}")
    files = [folder / item.key for item in Folder(folder)]
    if not files:
        raise FileNotFoundError(f"{folder} holds no image")
    return files


def pairs_in(folder: Path, compare: bool) -> list[tuple[Path, Path]]:
    """Returns pairs of an original, ``*_mean.*``, and a photograph of it, ``*_real.*``, as PolyU's set has them.

    Args:
        folder: Holds both.
        compare: Whether to return the pairs to compare on, which are those of every third scene (a name up to its
            last number is a scene's), or the others, to learn from.

    Raises:
        FileNotFoundError: If the folder is not there or holds no pair.
    """
    originals = [file for file in photos_in(folder) if file.stem.endswith("_mean")]
    pairs = [(file, file.with_name(file.name.replace("_mean.", "_real."))) for file in originals]
    scenes = sorted({_scene(file) for file in originals})
    kept = [pair for pair in pairs if pair[1].is_file() and (scenes.index(_scene(pair[0])) % 3 == 0) == compare]
    if not kept:
        raise FileNotFoundError(f"{folder} holds no pairs called *_mean and *_real")
    return kept


def _scene(file: Path) -> str:
    return re.sub(r"[_\d]*_mean$", "", file.stem)


def read_originals(folder: Path, paired: bool, least_side: int, most: int | None = None) -> list[Tensor]:
    """Returns the originals to compare on, with the photographs of them where a task is paired."""
    return load_photos(pairs_in(folder, True) if paired else photos_in(folder), least_side, most)


def read_photos(folder: Path, paired: bool, least_side: int) -> list[Tensor]:
    """Returns the originals to learn from, with the photographs of them where a task is paired."""
    return load_photos(pairs_in(folder, False) if paired else photos_in(folder), least_side)


def well_scored(table: Path, images: Path, least: float, prefix: str) -> list[Path]:
    """Returns the files of a rated set whose score is above ``least`` and whose name begins so."""
    rated = open_rated(table, images, check="none")
    if not isinstance(rated, Manifest):
        raise ValueError(f"{table} is no table of scores")
    pairs = zip(rated.images, rated.scores)
    return sorted(Path(file) for file, score in pairs if score > least and Path(file).name.startswith(prefix))


def load_photos(
    files: Sequence[Path] | Sequence[tuple[Path, Path]], least_side: int, most: int | None = None, shrink: int = 1
) -> list[Tensor]:
    """Returns photographs ``[3, H, W]`` of bytes, or pairs of them ``[6, H, W]``.

    Args:
        files: Image files, or pairs of files; those smaller than ``least_side`` are left out.
        least_side: The least side after shrinking.
        most: How many to take, spread over all; all by default.
        shrink: How many times smaller they are made (box filter), which takes the traces of JPEG away.

    Raises:
        ValueError: If none is large enough.
    """
    files = spread(files, most)
    photos = []
    with progress("reading photographs", len(files)) as advance:
        for done, file in enumerate(files, start=1):
            both = (file,) if isinstance(file, Path) else file
            photo = torch.cat([to_bytes_tensor(open_image(each)) for each in both])
            if shrink > 1:
                photo = F.avg_pool2d(photo[None].float(), shrink)[0].round().byte()
            if min(photo.shape[1:]) >= least_side:
                photos.append(photo)
            advance(done)
    if not photos:
        raise ValueError(f"none of {len(files)} photographs has sides of at least {least_side} pixels")
    return photos


def spread(items: Sequence[Item], most: int | None) -> list[Item]:
    """Returns at most so many items, evenly spread.

    Example:
        >>> [path.name for path in spread([Path(name) for name in "abcdef"], 3)]
        ['a', 'c', 'e']
    """
    if most is None or len(items) <= most:
        return list(items)
    return [items[index * len(items) // most] for index in range(most)]


def patches(photos: Sequence[Tensor], batch: int, side: int, seed: int) -> Iterator[Tensor]:
    """Yields batches ``[B, 3 or 6, side, side]`` in [0, 1] without end, turned and mirrored at random.

    The same seed gives the same patches, so that every contestant learns from the same ones.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(count: int) -> int:
        return int(torch.randint(count, (), generator=generator))

    while True:
        taken = []
        for _ in range(batch):
            photo = photos[draw(len(photos))]
            top, left = (draw(length - side + 1) for length in photo.shape[1:])
            patch = torch.rot90(photo[:, top : top + side, left : left + side], draw(4), (1, 2))
            taken.append(patch.flip(2) if draw(2) else patch)
        yield torch.stack(taken).float() / 255


def centers(photos: Sequence[Tensor], side: int) -> Tensor:
    """Returns the centre crops ``[N, 3, side, side]`` in [0, 1]."""
    crops = []
    for photo in photos:
        top, left = ((length - side) // 2 for length in photo.shape[1:])
        crops.append(photo[:, top : top + side, left : left + side])
    return torch.stack(crops).float() / 255
