"""What a full-reference loss of each scorer weighs beside an L1 loss: python -m benchmarks.fr_scale [NAME ...].

For photographs that come with scikit-image, shrunk and bicubically enlarged by 2, 3 and 4, the ratio of the
mean L1 distance of the pixels to the mean raw distance of the features is the `fr_scale` of the scorer's card.
Scorers whose weights cannot be had are measured with random weights (seed 0); measure them again, with
`--weights`, once you have the files.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.photographs import photographs
from iqaloss import IQALoss, create_scorer, list_scorers
from iqaloss.scorers.registry import entry


def upscaled(image: Tensor, factor: int) -> Tensor:
    """Shrinks and bicubically enlarges an image: the plainest super-resolution there is."""
    small = F.interpolate(image, scale_factor=1 / factor, mode="bicubic", antialias=True)
    return F.interpolate(small, image.shape[2:], mode="bicubic").clamp(0, 1)


def measure(name: str, weights: str | None, images: list[Tensor]) -> tuple[float, float]:
    """Returns the mean pixel L1 distance and the mean raw feature distance."""
    torch.manual_seed(0)
    known = entry(name).card.embedded is not None
    source = {"weights": weights} if weights is not None or not known else {}
    scorer = create_scorer(name, **source)  # type: ignore[arg-type]
    scorer.card = replace(scorer.card, fr_scale=1.0)
    loss = IQALoss(scorer, "fr")
    pixel, feature = [], []
    with torch.no_grad():
        for image in images:
            target = loss.encode(image)
            for factor in (2, 3, 4):
                pred = upscaled(image, factor)
                pixel.append(F.l1_loss(pred, image).item())
                feature.append(loss(pred, target).item())
    return sum(pixel) / len(pixel), sum(feature) / len(feature)


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="scorers to measure; all by default")
    parser.add_argument("--weights", help="checkpoint or folder for the one scorer that is named")
    parser.add_argument("--side", type=int, default=240, help="side of the square crops (default: 240)")
    parser.add_argument("--images", type=int, default=4, help="how many photographs (default: 4)")
    options = parser.parse_args()
    images = photographs(options.side)[: options.images]
    print("| scorer | pixel L1 | raw feature distance | fr_scale | on the card |")
    print("|---|---|---|---|---|")
    for name in options.names or list_scorers():
        pixel, feature = measure(name, options.weights, images)
        print(f"| {name} | {pixel:.4f} | {feature:.4f} | {pixel / feature:.3g} | {entry(name).card.fr_scale:g} |")


if __name__ == "__main__":
    main()
