"""Laboratory scores of compressed and shrunk pictures: Telecommunication-Telemedia-Assessment/image_quality_test.

H.265 at many sizes, shown enlarged; GPL-3.0. The repository, as it can be had, carries 324 of the 371 pictures that
were rated and four of the sources. What its authors measured against the sources is there for all of them.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from iqaloss.data.images import load_image, to_tensor
from studies.judges.items import Item, Load, Pair
from studies.judges.tid import middle

FRAME = 720
"""Side to which every picture is brought before its middle is cut out; people saw them at 2160."""

SIDE = 192
"""Side of the square in the middle that candidates see."""

PUBLISHED = ("vmaf", "psnr", "ssim", "ms_ssim")


def _table(path: Path, key: str) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row[key]: row for row in csv.DictReader(file)}


def read_scores(folder: Path) -> dict[str, float]:
    """Returns the mean score of each picture, 1 to 5."""
    return {name: float(row["mos"]) for name, row in _table(folder / "test_1" / "mos_ci.csv", "image_name").items()}


def read_published(folder: Path) -> dict[str, dict[str, float]]:
    """Returns what the authors measured, at the full size and against the sources."""
    rows = _table(folder / "test_1" / "objective_metrics.csv", "image")
    return {name: {metric: float(row[metric]) for metric in PUBLISHED} for name, row in rows.items()}


def framed(picture: Tensor, side: int) -> Tensor:
    """Brings a picture to the frame and cuts its middle out."""
    whole = F.interpolate(picture[None], (FRAME, FRAME), mode="bicubic", antialias=True, align_corners=False)
    return middle(whole[0].clamp(0.0, 1.0), side)


@functools.lru_cache(maxsize=1)
def source(file: Path, side: int) -> Tensor | None:
    """Reads the frame of a source and cuts its middle out; None where it is not there."""
    import cv2

    found, frame = cv2.VideoCapture(str(file)).read() if file.is_file() else (False, None)
    return framed(to_tensor(np.ascontiguousarray(frame[..., ::-1])), side) if found and frame is not None else None


def pictures(folder: Path, *, referenced: bool, side: int = SIDE) -> Iterator[Item]:
    """Yields the pictures that are there: those whose source is there as well, or all, each as its own original."""
    sources = folder / "images" / "src_cropped"
    for name, score in sorted(read_scores(folder).items()):
        file, start = folder / "test_1" / "images" / f"{name}.png", name.split("_crf_")[0]
        truth = sources / f"{start}.mkv"
        if not file.is_file() or (referenced and not truth.is_file()):
            continue
        yield Item(f"{name}_{side}", _maker(file, truth if referenced else None, side), score)


def _maker(file: Path, truth: Path | None, side: int) -> Load:
    def load() -> Pair | None:
        shown = framed(load_image(file), side)
        if truth is None:
            return shown, shown
        read = source(truth, side)
        return None if read is None else (shown, read)

    return load


def name_of(item: Item) -> str:
    """Returns the picture's name in the tables."""
    return item.key.rpartition("_")[0]
