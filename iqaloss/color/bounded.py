"""The bounds of the gradients, and what every colour space is made with."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from iqaloss._straight_through import straight_through

Matrix = tuple[tuple[float, ...], ...]

# sRGB primaries to CIE XYZ, each row divided by its component of the D65 white point: white maps to (1, 1, 1).
XYZ: Matrix = (
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)
LINEAR_BELOW = 0.04045  # sRGB transfer curve: x / 12.92 up to here
CBRT_ABOVE = 0.008856  # CIE f(t): 7.787 t + 4/29 up to here

# Largest |d out_c / d in_c'| of each output channel over all real inputs. For linear spaces these are the largest
# matrix entries. Hue and saturation are exact from a chroma (value) of 1/12 on, which makes 4 pi rad and 12.
# Lab: kornia's own reaches 112, 207 and 194 on the grid of examples/color_gradients.py.
GRADIENT_BOUNDS: dict[str, tuple[float, ...]] = {
    "rgb": (1.0, 1.0, 1.0),
    "ycbcr": (0.587, 0.5, 0.5),
    "yuv": (0.587, 0.436, 0.615),
    "hsv": (4 * math.pi, 12.0, 1.0),
    "lab": (100.0, 150.0, 150.0),
    "lmn": (0.63, 0.35, 0.60),
    "luminance": (0.587,),
    "luminance_bt709": (0.7152,),
    "opencv_hsv": (360 / 255, 12.0, 1.0),
    "opencv_lab": (1.0, 150 / 255, 150 / 255),
    "opencv_yuv": (0.587, 0.436, 0.615),
}


def checked(images: Tensor) -> Tensor:
    """Validate ``images`` and return them in float32, or float64 if that is what they are."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a torch.Tensor, got {type(images).__name__}")
    if not images.is_floating_point():
        raise TypeError(f"images must be a floating-point tensor with RGB in [0, 1], got dtype {images.dtype}")
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ValueError(f"images must have shape [..., 3, H, W], got {tuple(images.shape)}")
    return images if images.dtype == torch.float64 else images.float()


_CONSTANTS: dict[tuple[tuple[Any, ...], torch.dtype, torch.device], Tensor] = {}


def constant(values: tuple[Any, ...], like: Tensor) -> Tensor:
    """Returns numbers in the dtype and on the device of a tensor, copied there once and not at every step."""
    kept = type(like) is Tensor and not torch.compiler.is_compiling()  # graphs and stand-ins make their own
    key = (values, like.dtype, like.device)
    if not kept or key not in _CONSTANTS:
        with torch.inference_mode(False):
            made = torch.tensor(values, dtype=like.dtype, device=like.device)
        if not kept:
            return made
        _CONSTANTS[key] = made
    return _CONSTANTS[key]


def limit(out: Tensor, reach: Tensor, space: str) -> Tensor:
    """Scale the gradient of each channel of ``out``, whose largest derivative is ``reach``, to its bound."""
    bound = constant(GRADIENT_BOUNDS[space], out)[:, None, None]
    return straight_through(out, out * (bound / reach.detach()).clamp(max=1.0))


def mix(images: Tensor, matrix: Matrix) -> Tensor:
    """Multiply the channel vector of every pixel by ``matrix``: [..., 3, H, W] -> [..., rows, H, W]."""
    r, g, b = images.unbind(-3)
    return torch.stack([row[0] * r + row[1] * g + row[2] * b for row in matrix], dim=-3)
