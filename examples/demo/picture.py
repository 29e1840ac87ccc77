"""The demo's picture: held-out crops side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CROP = 96
"""Side of the crops."""

ZOOM = 3
"""How many times they are enlarged, pixel by pixel."""

_GAP, _TITLE, _FONT = 6, 26, 16


def finest_crop(image: Image.Image, side: int = CROP) -> tuple[int, int, int, int]:
    """Returns the box of the crop with the most detail in a picture.

    Example:
        >>> finest_crop(Image.new("RGB", (120, 100)))
        (0, 0, 96, 96)
    """
    gray = np.asarray(image.convert("L"), dtype=np.float64)
    detail = np.abs(np.diff(gray, axis=0))[:, :-1] + np.abs(np.diff(gray, axis=1))[:-1]
    sums = np.pad(detail.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    high, wide = min(side, detail.shape[0]), min(side, detail.shape[1])
    area = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    top, left = np.unravel_index(int(area.argmax()), area.shape)
    right, bottom = min(int(left) + side, image.width), min(int(top) + side, image.height)
    return int(left), int(top), right, bottom


def side_by_side(pictures: Mapping[str, Mapping[str, Image.Image]], chosen_by: str) -> Image.Image:
    """Lays out one row for each picture and one column for each title.

    Args:
        pictures: Name to title to picture; every name has the same titles.
        chosen_by: The title of the pictures whose detail decides on the crops. The interpolated ones are a good
            choice: what they show is there for the networks to restore.
    """
    titles = list(next(iter(pictures.values())))
    cell = CROP * ZOOM
    width, height = len(titles) * (cell + _GAP) + _GAP, len(pictures) * (cell + _GAP) + _TITLE + _GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT)
    for column, title in enumerate(titles):
        draw.text((_GAP + column * (cell + _GAP) + cell / 2, _TITLE / 2), title, "black", font, anchor="mm")
    for row, versions in enumerate(pictures.values()):
        box = finest_crop(versions[chosen_by])
        for column, title in enumerate(titles):
            crop = versions[title].crop(box).resize((cell, cell), Image.Resampling.NEAREST)
            sheet.paste(crop, (_GAP + column * (cell + _GAP), _TITLE + row * (cell + _GAP)))
    return sheet
