"""Score an image: overall quality and five perceptual dimensions, offline.

python examples/score_image.py [image file]
"""

from __future__ import annotations

import sys

import torch

from iqaloss import create_scorer
from iqaloss.data.images import load_image


def main(path: str | None = None) -> None:
    if path is None:
        from skimage import data

        image = torch.from_numpy(data.chelsea()).permute(2, 0, 1).float() / 255
    else:
        image = load_image(path)
    with torch.no_grad():
        out = create_scorer("mdiqa-mobile")(image[None])
    print(f"{'score':<14}{out.score.item():.3f}")
    for name, value in out.dimensions.items():
        print(f"{name:<14}{value.item():.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
