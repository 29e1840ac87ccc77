"""What the dimensions mean: one photograph, made worse along each, and what the embedded scorer says of it.

python examples/dimensions_sheet.py [picture to write, runs/dimensions.jpg by default]

The degradations are those of `iqaloss probe`. docs/dimensions.jpg is this picture.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from skimage import data
from torch import Tensor

from iqaloss import create_scorer
from iqaloss.data.images import to_image
from iqaloss.evaluation.probes.degradations import PROPERTIES, by_name, versions

SHOWN = {
    "brightness": ("under-exposure", "over-exposure", "gamma-dark"),
    "colorfulness": ("desaturation", "over-saturation"),
    "contrast": ("low-contrast", "over-contrast"),
    "noisiness": ("gaussian-noise", "iso-noise", "jpeg"),
    "sharpness": ("defocus", "motion-blur", "over-smoothing"),
}
STRENGTH = 0.7
SIDE, CAPTION, GAP = 176, 40, 8


def photograph() -> Tensor:
    """A corner of a photograph that no training of the scorer saw, 352 pixels square."""
    return torch.from_numpy(data.coffee()).permute(2, 0, 1).float()[:, 24:376, 150:502] / 255


def rows() -> dict[str, list[tuple[str, Tensor, float]]]:
    """Dimension to versions of the photograph: what was done, the picture, the score of that dimension."""
    scorer, photo = create_scorer("mdiqa-mobile"), photograph()
    found: dict[str, list[tuple[str, Tensor, float]]] = {}
    for dimension in PROPERTIES:
        shown = {"as it is": photo}
        shown |= {name: versions(by_name(name), photo, [STRENGTH])[0] for name in SHOWN[dimension]}
        with torch.no_grad():
            scores = scorer(torch.stack(list(shown.values()))).dimensions[dimension]
        found[dimension] = [(name, image, score.item()) for (name, image), score in zip(shown.items(), scores)]
    return found


def sheet(table: dict[str, list[tuple[str, Tensor, float]]]) -> Image.Image:
    """All of them in one picture, a line for each dimension."""
    columns = max(len(line) for line in table.values())
    picture = Image.new("RGB", (columns * (SIDE + GAP) + GAP, len(table) * (SIDE + CAPTION + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    for row, (dimension, line) in enumerate(table.items()):
        for column, (name, image, score) in enumerate(line):
            left, top = GAP + column * (SIDE + GAP), GAP + row * (SIDE + CAPTION + GAP)
            picture.paste(to_image(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, top))
            draw.text((left, top + SIDE + 2), f"{name}\n{dimension} {score:.2f}", fill="black", font=font, spacing=2)
    return picture


def main(out: str = "runs/dimensions.jpg") -> None:
    table = rows()
    for dimension, line in table.items():
        print(f"{dimension:<14}" + ", ".join(f"{name} {score:.2f}" for name, _, score in line))
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    sheet(table).save(out, quality=82)
    print(f"picture: {out}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
