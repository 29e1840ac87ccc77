"""Image files to tensors, and tensors to images."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
"""Suffixes of the files that are taken for images."""


def open_image(content: str | Path | bytes, name: str | None = None) -> Image:
    """Decodes an image to 8-bit RGB, turned as its camera says.

    Args:
        content: A file, or its bytes.
        name: What to call it in messages; the file's name by default.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read as an image.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content) if isinstance(content, bytes) else content) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except FileNotFoundError:
        raise
    except Exception as error:
        label = name or ("image" if isinstance(content, bytes) else str(content))
        raise ValueError(f"{label} is no image that can be read: {error}") from error


def to_bytes_tensor(image: Image) -> Tensor:
    """Returns an 8-bit RGB image as uint8 ``[3, H, W]``."""
    pixels = torch.from_numpy(np.asarray(image, np.uint8).copy())
    return rearrange(pixels, "row column channel -> channel row column").contiguous()


def to_tensor(image: Image) -> Tensor:
    """Returns an 8-bit RGB image as float ``[3, H, W]`` in ``[0, 1]``."""
    return to_bytes_tensor(image).float() / 255.0


def to_image(image: Tensor) -> Image:
    """Returns float RGB ``[3, H, W]`` in ``[0, 1]`` as an 8-bit image, as a file would hold it.

    Example:
        >>> to_image(torch.ones(3, 4, 8)).size
        (8, 4)
    """
    from PIL import Image

    pixels = rearrange(image.clamp(0.0, 1.0) * 255.0, "channel row column -> row column channel")
    return Image.fromarray(pixels.round().byte().numpy())


def load_image(path: str | Path) -> Tensor:
    """Decodes an image file to float RGB ``[3, H, W]`` in ``[0, 1]``."""
    return to_tensor(open_image(path))
