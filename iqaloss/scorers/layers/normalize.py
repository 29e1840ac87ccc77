"""Feature maps of different depth brought to one size, so that their distances can be averaged."""

from __future__ import annotations

import torch
from torch import Tensor


def unit_rms(features: Tensor, eps: float = 1e-4) -> Tensor:
    """Divides the channel vector of every position by its root mean square, ``g / sqrt(mean_c g_c^2 + eps)``.

    Levels of a network differ in size by orders of magnitude; after it an entry is about 1 in each of them, and a
    mean absolute difference tells which share of a vector changed.

    Args:
        features: ``[B, C, h, w]``.
        eps: Keeps the slope below ``1 / sqrt(eps)`` where a vector vanishes.

    Returns:
        The same shape, float32 (float64 for float64).

    Example:
        >>> unit_rms(torch.full((1, 8, 1, 1), 5.0)).mean()
        tensor(1.0000)
    """
    wide = features if features.dtype == torch.float64 else features.float()
    return wide * (wide.square().mean(dim=1, keepdim=True) + eps).rsqrt()
