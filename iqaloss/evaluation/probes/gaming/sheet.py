"""The contact sheet: a row for each photograph, a column for each version of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from iqaloss._files import replacing
from iqaloss.data.images import to_image

CROP, ZOOM, GAP, HEAD = 96, 2, 6, 44
"""Side of the middles that are shown, their enlargement, and the room between and above them, in pixels."""


def draw_sheet(pictures: Mapping[str, Tensor], out: Path, rows: int = 4) -> Path:
    """Draws the middles of the first pictures, enlarged without smoothing, so that patterns can be seen.

    Args:
        pictures: Version to pictures ``[B, 3, H, W]``; a version may have fewer pictures than others.
        out: The file.
        rows: Most pictures to show.
    """
    cell = CROP * ZOOM
    count = min(rows, max(len(images) for images in pictures.values()))
    size = (len(pictures) * (cell + GAP) + GAP, count * (cell + GAP) + HEAD + GAP)
    sheet = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, (title, images) in enumerate(pictures.items()):
        left = GAP + column * (cell + GAP)
        text = "\n".join(wrapped(title, 26))
        draw.multiline_text((left + cell / 2, HEAD / 2), text, "black", font, anchor="mm", align="center")
        for row, image in enumerate(images[:count]):
            sheet.paste(_cell(image, cell), (left, HEAD + row * (cell + GAP)))
    with replacing(out) as temporary:
        sheet.save(temporary)
    return out


def wrapped(text: str, width: int) -> list[str]:
    """Breaks a title into lines.

    Example:
        >>> wrapped("ascent from photographs", 12)
        ['ascent from', 'photographs']
    """
    import textwrap

    return textwrap.wrap(text, width)


def _cell(image: Tensor, side: int) -> Image.Image:
    height, width = (min(CROP, extent) for extent in image.shape[1:])
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    shown = to_image(image[:, top : top + height, left : left + width])
    return shown.resize((side, side), Image.Resampling.NEAREST)
