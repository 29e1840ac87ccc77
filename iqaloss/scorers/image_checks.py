"""What a scorer and a loss take as images, and what they say of anything else."""

from __future__ import annotations

from torch import Tensor


def check_images(images: Tensor, min_side: int = 1, name: str = "images") -> None:
    """Raises a clear error unless ``images`` is a float tensor ``[B, 3, H, W]`` with sides of at least ``min_side``."""
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor of shape [B, 3, H, W], got {type(images).__name__}")
    if not images.is_floating_point():
        raise TypeError(
            f"{name} must be a floating tensor in [0, 1], got dtype {images.dtype}; divide a uint8 image by 255 first"
        )
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
