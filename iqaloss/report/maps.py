"""Maps of strength over pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

STOPS = ((0.0, (0, 0, 4)), (0.25, (87, 16, 110)), (0.5, (188, 55, 84)), (0.75, (249, 142, 9)), (1.0, (252, 255, 164)))
"""Colours from weak to strong, rising evenly in lightness, after matplotlib's inferno."""


def colored(heat: Tensor) -> Image.Image:
    """Returns a map ``[H, W]`` in [0, 1] in colours.

    Example:
        >>> import torch
        >>> colored(torch.zeros(4, 6)).size
        (6, 4)
    """
    places = [place for place, _ in STOPS]
    colors = [color for _, color in STOPS]
    values = heat.clamp(0.0, 1.0).numpy()
    channels = [np.interp(values, places, [color[channel] for color in colors]) for channel in range(3)]
    return Image.fromarray(np.stack(channels, axis=-1).round().astype(np.uint8))


def over(picture: Image.Image, heat: Tensor, least: float = 0.35) -> Image.Image:
    """Lays a map over the grey picture; where it is weak the picture shows through, in part.

    Args:
        picture: The picture.
        heat: The map ``[H, W]`` in [0, 1].
        least: How much of the map shows where it is weakest.
    """
    gray = picture.convert("L").convert("RGB")
    share = (least + (0.85 - least) * heat.clamp(0.0, 1.0)).mul(255).round().byte().numpy()
    return Image.composite(colored(heat), gray, Image.fromarray(share))
