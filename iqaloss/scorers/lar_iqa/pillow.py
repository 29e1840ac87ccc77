"""Pillow's bilinear resize of 8-bit images, to the last bit."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from iqaloss.scorers.layers.frozen_cache import FrozenCache

_BITS = 22
"""Fractional bits of Pillow's filter weights for 8-bit channels."""

_KEPT = FrozenCache(16)
"""The filters of recent sizes, so that no step copies one to the device again."""


def resize_levels(levels: Tensor, size: tuple[int, int]) -> Tensor:
    """Resizes 8-bit levels as ``Image.resize(size, BILINEAR)``: the columns first, then the rows, each rounded.

    Args:
        levels: ``[..., H, W]``, integers from 0 to 255.
        size: Height and width of the result.

    Returns:
        ``[..., height, width]``, int32.

    Example:
        >>> resize_levels(torch.tensor([[0, 10, 20, 31]]), (1, 2))
        tensor([[ 7, 23]], dtype=torch.int32)
    """
    levels = levels.to(torch.int32)
    levels = _resize_last(levels, size[1])
    return _resize_last(levels.transpose(-1, -2), size[0]).transpose(-1, -2)


def _resize_last(levels: Tensor, size: int) -> Tensor:
    length = levels.shape[-1]
    if length == size:
        return levels
    taps = _KEPT((length, size, levels.device), (), lambda: torch.cat(_taps(length, size), dim=1).to(levels.device))
    first, weights = taps[:, 0], taps[:, 1:].to(torch.int32)
    total = levels.new_full((*levels.shape[:-1], size), 1 << (_BITS - 1))
    for tap in range(weights.shape[1]):
        # Beyond the last pixel the weight is zero.
        total += levels[..., (first + tap).clamp(max=length - 1)] * weights[:, tap]
    return (total >> _BITS).clamp(0, 255)


def _taps(length: int, size: int) -> tuple[Tensor, Tensor]:
    """Returns the first source pixel ``[size, 1]`` and the fixed-point weights ``[size, taps]`` of each result pixel.

    The filter is a triangle, as wide as the scale where the image shrinks.
    """
    scale = length / size
    support = max(scale, 1.0)
    center = (torch.arange(size, dtype=torch.float64) + 0.5) * scale
    first = (center - support + 0.5).clamp(min=0).long()
    stop = (center + support + 0.5).long().clamp(max=length)
    position = first[:, None] + torch.arange(2 * math.ceil(support) + 1)
    weights = (1 - ((position - center[:, None] + 0.5) / support).abs()).clamp(min=0)
    weights = torch.where(position < stop[:, None], weights, 0.0)
    weights = weights / weights.sum(dim=1, keepdim=True)
    return first[:, None], (weights * (1 << _BITS) + 0.5).to(torch.int64)
