"""Photographs that come with scikit-image, as tensors."""

from __future__ import annotations

import torch
from torch import Tensor

NAMES = ("astronaut", "chelsea", "coffee", "rocket")


def photographs(side: int) -> list[Tensor]:
    """Returns centre crops ``[1, 3, side, side]`` in [0, 1]."""
    from skimage import data

    images = []
    for name in NAMES:
        photo = torch.from_numpy(getattr(data, name)()).permute(2, 0, 1)[None].float() / 255
        top, left = (photo.shape[2] - side) // 2, (photo.shape[3] - side) // 2
        images.append(photo[:, :, top : top + side, left : left + side])
    return images
