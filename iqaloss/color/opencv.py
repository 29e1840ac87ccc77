"""OpenCV's 8-bit conversions, which networks were trained with that read pictures through it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from iqaloss._straight_through import straight_through
from iqaloss.color.bounded import CBRT_ABOVE, LINEAR_BELOW, XYZ, Matrix, checked, constant, mix
from iqaloss.color.spaces import rgb_to_hsv, rgb_to_lab

_OPENCV_YUV: Matrix = (
    (0.299, 0.587, 0.114),
    (-0.492 * 0.299, -0.492 * 0.587, 0.492 * 0.886),
    (0.877 * 0.701, -0.877 * 0.587, -0.877 * 0.114),
)
# OpenCV's 8-bit conversions are fixed-point. Reciprocals with 12 fractional bits (HSV), the sRGB curve with 3 and
# the cube root of Lab with 15: indices are uint8 levels, for the cube root 2040 = 8 x 255 steps a unit.
_SATURATION = (0, *(round((255 << 12) / value) for value in range(1, 256)))
_HUE = (0, *(round((30 << 12) / chroma) for chroma in range(1, 256)))
_LEVELS = [level / 255 for level in range(256)]
_DECODED = tuple(round(2040 * (v / 12.92 if v <= LINEAR_BELOW else ((v + 0.055) / 1.055) ** 2.4)) for v in _LEVELS)
_ROOT = tuple(
    round(32768 * (t ** (1 / 3) if t > CBRT_ABOVE else 7.787 * t + 4 / 29)) for t in (k / 2040 for k in range(2041))
)
_XYZ_12_BITS: Matrix = tuple(tuple(round(value * 4096) for value in row) for row in XYZ)


def _quantized(images: Tensor) -> tuple[Tensor, Tensor]:
    """The images clipped to [0, 1] and rounded to n / 255, gradient straight through, and the levels n."""
    images = checked(images)
    # The second clamp keeps the table look-ups in range for NaN, which the first lets pass.
    levels = (images.detach().clamp(0, 1) * 255).round().long().clamp(0, 255)
    return straight_through(levels.to(images.dtype) / 255, images), levels


def _descale(value: Tensor, bits: int) -> Tensor:
    return (value + (1 << (bits - 1))) >> bits


def _as_rgb(levels: Tensor, surrogate: Tensor) -> Tensor:
    """8-bit result / 255, with the gradient of the same conversion without rounding or saturation."""
    return straight_through(levels.clamp(0, 255).to(surrogate.dtype) / 255, surrogate)


def opencv_hsv(images: Tensor) -> Tensor:
    """``cv2.cvtColor(uint8, COLOR_RGB2HSV) / 255``: hue 0..179 over 255, saturation and value 0..255 over 255.

    The convention LAR-IQA was trained with: the 8-bit result is fed to the network as if it were RGB. Input is
    rounded to 8 bits first. Both roundings and the clipping to [0, 1] pass the gradient straight through; the
    conversion between them has the bounded gradient of :func:`rgb_to_hsv`.
    """
    images, levels = _quantized(images)
    r, g, b = levels.unbind(-3)
    value = levels.amax(-3)
    chroma = value - levels.amin(-3)
    sextant = torch.where(value == r, g - b, torch.where(value == g, b - r + 2 * chroma, r - g + 4 * chroma))
    hue = _descale(sextant * constant(_HUE, levels)[chroma], 12)
    saturation = _descale(chroma * constant(_SATURATION, levels)[value], 12)
    scale = constant((90 / math.pi / 255, 1.0, 1.0), images)[:, None, None]
    return _as_rgb(torch.stack([hue % 180, saturation, value], dim=-3), rgb_to_hsv(images) * scale)


def opencv_lab(images: Tensor) -> Tensor:
    """``cv2.cvtColor(uint8, COLOR_RGB2LAB) / 255``: L* 255/100, a* + 128 and b* + 128, each over 255.

    Rounding, clipping and gradient as in :func:`opencv_hsv`, with :func:`rgb_to_lab` between. Of the 2**24
    colours 0.01 % differ from OpenCV 5.0, by 1/255 in a or b (HSV and YUV: none).
    """
    images, levels = _quantized(images)
    steps = _descale(mix(constant(_DECODED, levels)[levels], _XYZ_12_BITS), 12)
    x, y, z = constant(_ROOT, levels)[steps].unbind(-3)
    lightness = _descale(296 * y - 1336934, 15)  # 296 = 116 * 2.55 and 1336934 = 16 * 2.55 * 2**15, as OpenCV rounds
    a, b = _descale(500 * (x - y), 15) + 128, _descale(200 * (y - z), 15) + 128
    scale = constant((1 / 100, 1 / 255, 1 / 255), images)[:, None, None]
    return _as_rgb(torch.stack([lightness, a, b], dim=-3), rgb_to_lab(images) * scale)


def opencv_yuv(images: Tensor) -> Tensor:
    """``cv2.cvtColor(uint8, COLOR_RGB2YUV) / 255``: Y, 0.492 (B - Y) + 128 and 0.877 (R - Y) + 128, each over 255.

    Rounding, clipping and gradient as in :func:`opencv_hsv`. V saturates for strong reds and cyans.
    """
    images, levels = _quantized(images)
    r, g, b = levels.unbind(-3)
    luma = _descale(4899 * r + 9617 * g + 1868 * b, 14)  # 0.299, 0.587, 0.114 with 14 fractional bits
    u, v = _descale(8061 * (b - luma), 14) + 128, _descale(14369 * (r - luma), 14) + 128
    return _as_rgb(torch.stack([luma, u, v], dim=-3), mix(images, _OPENCV_YUV))
