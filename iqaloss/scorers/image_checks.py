"""What a scorer and a loss take as images, and what they say of anything else."""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""The number types that images may have."""

_is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)  # torch 2.7 and later


def check_images(
    images: Tensor,
    min_side: int = 1,
    name: str = "images",
    device: torch.device | None = None,
    one_size: bool = False,
) -> None:
    """Raises a clear error for anything but a dense float tensor ``[B, 3, H, W]``.

    Args:
        images: What was given.
        min_side: The least that a side may measure.
        name: What the images are called.
        device: Where they must be; None for anywhere.
        one_size: Whether a compiled graph is for their size alone (:func:`fix_size`).

    Raises:
        TypeError: For another type, number type or layout.
        ValueError: For another shape or device.
    """
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape [B, 3, H, W], got {type(images).__name__}")
    if images.dtype not in DTYPES:
        hint = "" if images.is_floating_point() or images.is_complex() else "; divide a uint8 image by 255 first"
        raise TypeError(f"{name} must be a floating tensor in [0, 1], float32 or half, got dtype {images.dtype}{hint}")
    if images.is_nested or images.layout is not torch.strided:
        kind = "nested" if images.is_nested else str(images.layout).removeprefix("torch.")
        raise TypeError(f"{name} must be a dense tensor of shape [B, 3, H, W], got a tensor of layout {kind}")
    shape = list(images.shape)
    if images.ndim != 4:
        hint = "; add a batch dimension with images[None]" if images.ndim == 3 else ""
        raise ValueError(f"{name} must have shape [B, 3, H, W], got {shape}{hint}")
    if shape[1] != 3:
        hint = "; the channels come second: images.permute(0, 3, 1, 2)" if shape[3] == 3 else ""
        raise ValueError(f"{name} must have 3 channels (RGB), got {shape[1]} in shape {shape}{hint}")
    if shape[0] == 0:
        raise ValueError(f"{name} is an empty batch: shape {shape}")
    if min(shape[2:]) < min_side:
        raise ValueError(f"{name} must have sides of at least {min_side} pixels, got {shape[2]}x{shape[3]}")
    if device is not None and images.device != device:
        raise ValueError(f"{name} is on {images.device} and the scorer on {device}: move one of them with to()")
    if one_size and torch.compiler.is_dynamo_compiling() and not _is_exporting():
        fix_size(images)


def fix_size(images: Tensor) -> None:
    """Lets ``torch.compile`` make a graph of its own for each size of images.

    At the second size it would else make one for all sizes, with sizes that are formulas: with those of a dozen padded
    layers with strides one in another, that does not end.
    """
    for side in images.shape[2:]:
        len(range(side))  # torch takes what it has to count for a number
