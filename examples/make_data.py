"""Pictures to try everything on, from the photographs that come with scikit-image.

python examples/make_data.py [folder to write them into, runs/data by default]

photographs/              eight photographs
datasets/train, val       true images and the same x4 smaller, as the recipes in restoration_recipes/ expect them
rated/, rated/scores.csv  versions of them with made-up scores, in place of what your people said
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from PIL import Image
from skimage import data

from iqaloss.data.images import to_image, to_tensor
from iqaloss.evaluation.probes.degradations import by_name, versions

PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel", "rocket")
SPOILED = ("gaussian-noise", "defocus", "jpeg", "low-contrast")
STRENGTHS = (0.0, 0.3, 0.6, 0.9)
SIDE = 256


def photographs() -> dict[str, Image.Image]:
    """The middles of the photographs, without the borders that x4 would not divide."""
    found = {}
    for name in PHOTOGRAPHS:
        image = Image.fromarray(getattr(data, name)()).convert("RGB")
        left, top = (image.width - SIDE) // 2, (image.height - SIDE) // 2
        found[name] = image.crop((left, top, left + SIDE, top + SIDE))
    return found


def write(image: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def rated(name: str, image: Image.Image, kind: str, folder: Path) -> list[dict[str, object]]:
    """Writes a photograph as it is and worse and worse, and returns what might have been said of each."""
    rows = []
    for strength, version in zip(STRENGTHS, versions(by_name(kind), to_tensor(image), STRENGTHS)):
        file = f"{name}_{kind}_{strength:g}.png"
        write(to_image(version), folder / file)
        rows.append({"image": file, "mos": round(5 - 4 * strength, 2), "content": name})
    return rows


def main(out: str = "runs/data") -> None:
    folder, rows = Path(out), []
    for index, (name, image) in enumerate(photographs().items()):
        small = image.resize((SIDE // 4, SIDE // 4), Image.Resampling.BICUBIC)
        share = folder / "datasets" / ("val" if index % 4 == 3 else "train")
        write(image, folder / "photographs" / f"{name}.png")
        write(image, share / "HR" / f"{name}.png")
        write(small, share / "LR_x4" / f"{name}.png")
        rows += rated(name, image, SPOILED[index % len(SPOILED)], folder / "rated")
    with (folder / "rated" / "scores.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    print(f"{len(PHOTOGRAPHS)} photographs and {len(rows)} rated pictures in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
