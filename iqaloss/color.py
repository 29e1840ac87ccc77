"""Colour spaces whose gradient is finite everywhere and bounded by a documented number.

A loss on hue, saturation or Lab sends its gradient through a division or a cube root that is steepest exactly
where images are dull: at greys and near black. Every function here keeps the forward value of the textbook
conversion and limits only its derivative: where the largest ``|d out_c / d in_c'|`` of an output channel at a
pixel would exceed ``GRADIENT_BOUNDS[space][c]``, that channel's gradient is scaled down to the bound, its
direction kept; everywhere else the gradient is the exact one. Where none exists (the hue of a grey, the
saturation of black) it is zero.

All functions take RGB as float ``[..., 3, H, W]``, nominally in [0, 1] (values outside it are accepted), and return
the channels that the space's name spells as ``[..., 3, H, W]``; anything else raises TypeError (no tensor, integers)
or ValueError (shape). Half precision is computed and returned in float32, autocast or not; float64 stays float64.
Second derivatives treat the scale factor as a constant; they are finite, but not bounded by the table.

Matrices are applied channel by channel rather than through kornia's ``einsum``/``conv2d``, which autocast and
TF32 would round to fewer than 11 bits; the values are kornia's (tested).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from iqaloss._errors import check_choice

Matrix = tuple[tuple[float, ...], ...]

LUMA_WEIGHTS: dict[str, tuple[float, float, float]] = {
    "bt601": (0.299, 0.587, 0.114),
    "bt709": (0.2126, 0.7152, 0.0722),
}
_YUV: Matrix = ((0.299, 0.587, 0.114), (-0.147, -0.289, 0.436), (0.615, -0.515, -0.100))
_OPENCV_YUV: Matrix = (
    (0.299, 0.587, 0.114),
    (-0.492 * 0.299, -0.492 * 0.587, 0.492 * 0.886),
    (0.877 * 0.701, -0.877 * 0.587, -0.877 * 0.114),
)
_LMN: Matrix = ((0.06, 0.63, 0.27), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17))
# sRGB primaries to CIE XYZ, each row divided by its component of the D65 white point: white maps to (1, 1, 1).
_XYZ: Matrix = (
    (0.412453 / 0.95047, 0.357580 / 0.95047, 0.180423 / 0.95047),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.08883, 0.119193 / 1.08883, 0.950227 / 1.08883),
)
_LINEAR_BELOW = 0.04045  # sRGB transfer curve: x / 12.92 up to here
_CBRT_ABOVE = 0.008856  # CIE f(t): 7.787 t + 4/29 up to here
_BLACK_UP_TO = 1e-20  # the reciprocal of a lighter pixel's chroma, grey aside, cannot overflow float32

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


def _checked(images: Tensor) -> Tensor:
    """Validate ``images`` and return them in float32, or float64 if that is what they are."""
    if not isinstance(images, Tensor):
        raise TypeError(f"images must be a torch.Tensor, got {type(images).__name__}")
    if not images.is_floating_point():
        raise TypeError(f"images must be a floating-point tensor with RGB in [0, 1], got dtype {images.dtype}")
    if images.ndim < 3 or images.shape[-3] != 3:
        raise ValueError(f"images must have shape [..., 3, H, W], got {tuple(images.shape)}")
    return images if images.dtype == torch.float64 else images.float()


def _straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """``value`` exactly, with the gradient of ``surrogate`` (the added difference is exactly zero)."""
    return value.detach() + (surrogate - surrogate.detach())


_CONSTANTS: dict[tuple[tuple[Any, ...], torch.dtype, torch.device], Tensor] = {}


def _constant(values: tuple[Any, ...], like: Tensor) -> Tensor:
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


def _limit(out: Tensor, reach: Tensor, space: str) -> Tensor:
    """Scale the gradient of each channel of ``out``, whose largest derivative is ``reach``, to its bound."""
    bound = _constant(GRADIENT_BOUNDS[space], out)[:, None, None]
    return _straight_through(out, out * (bound / reach.detach()).clamp(max=1.0))


def _mix(images: Tensor, matrix: Matrix) -> Tensor:
    """Multiply the channel vector of every pixel by ``matrix``: [..., 3, H, W] -> [..., rows, H, W]."""
    r, g, b = images.unbind(-3)
    return torch.stack([row[0] * r + row[1] * g + row[2] * b for row in matrix], dim=-3)


def rgb_to_ycbcr(images: Tensor) -> Tensor:
    """Full-range YCbCr, BT.601 luma: Y in [0, 1], Cb and Cr in [0, 1] with grey at 0.5.

    The values of ``kornia.color.rgb_to_ycbcr``, not the 16-235 studio range in which PSNR-Y is usually reported.

    Example:
        >>> rgb_to_ycbcr(torch.ones(1, 3, 1, 1)).flatten()
        tensor([1.0000, 0.5000, 0.5000])
    """
    from kornia.color import rgb_to_ycbcr as kornia_ycbcr

    return kornia_ycbcr(_checked(images))


def rgb_to_yuv(images: Tensor) -> Tensor:
    """YUV of BT.470 (PAL): Y in [0, 1], U in [-0.436, 0.436], V in [-0.615, 0.615]; values of kornia."""
    return _mix(_checked(images), _YUV)


def rgb_to_lmn(images: Tensor) -> Tensor:
    """Opponent space LMN of the FR metrics VSI and MDSI: L luminance-like, M and N two chrominances.

    ``L = 0.06 R + 0.63 G + 0.27 B``, ``M = 0.30 R + 0.04 G - 0.35 B``, ``N = 0.34 R - 0.60 G + 0.17 B``: the
    Gaussian colour model of Geusebroek et al., "Color Invariance" (TPAMI 2001), as used by Zhang et al., "VSI"
    (TIP 2014). MDSI takes M and N from the same rows and names them H and M. Rows do not sum to 1 or 0: white is
    (0.96, -0.01, -0.09).
    """
    return _mix(_checked(images), _LMN)


def rgb_to_luminance(images: Tensor, standard: str = "bt601") -> Tensor:
    """Luma: a weighted sum of the gamma-encoded channels, the grey image that IQA metrics work on.

    Args:
        images: RGB, float [..., 3, H, W].
        standard: ``"bt601"`` weighs by 0.299, 0.587, 0.114 (JPEG, OpenCV, kornia), ``"bt709"`` by 0.2126, 0.7152,
            0.0722 (HDTV; also the luminance row of the sRGB primaries).

    Returns:
        [..., 1, H, W].
    """
    images = _checked(images)
    return _mix(images, (LUMA_WEIGHTS[check_choice("luma standard", standard, LUMA_WEIGHTS)],))


def rgb_to_hsv(images: Tensor) -> Tensor:
    """HSV: hue in [0, 2 pi) radians, saturation and value in [0, 1]; values of kornia.

    Hue's true derivative is ``pi / 3 / chroma`` and saturation's ``1 / value``: exact for a chroma (value) of at
    least 1/12, limited below, zero at an exact grey (black). A pixel without a channel above 1e-20 is black: its hue
    and saturation are 0, where the formula would divide by 0, a denormal or a negative number.
    """
    from kornia.color import rgb_to_hsv as kornia_hsv

    images = _checked(images)
    value = images.amax(-3, keepdim=True)
    # Black is cut out before the conversion: selecting afterwards would multiply its infinite gradient by zero.
    lit = torch.where(value <= _BLACK_UP_TO, torch.zeros_like(images), images)
    hue_saturation = kornia_hsv(lit)[..., :2, :, :]

    with torch.no_grad():
        top, low = lit.amax(-3), lit.amin(-3)
        hue_reach = (math.pi / 3) / (top - low)  # infinite at a grey, so that the gradient is scaled to zero
        top, low = top + 1e-8, low + 1e-8  # kornia's epsilon in the divisor of the saturation
        saturation_reach = (low.abs() / top).clamp(min=1.0) / top  # more than 1 / top only where low < -top
        reach = torch.stack([hue_reach, saturation_reach, torch.ones_like(top)], dim=-3)
    return _limit(torch.cat([hue_saturation, value], dim=-3), reach, "hsv")


def rgb_to_lab(images: Tensor) -> Tensor:
    """CIE L*a*b* (D65, 2 degrees) of sRGB: L* in [0, 100], a* in [-87, 99], b* in [-108, 95]; values of kornia.

    On an even grid of the RGB cube the gradient is exact for 99.8, 88 and 95 % of the colours (L*, a*, b*); limited
    are those, mostly dark or saturated, with a steep cube root. Divide by 100 for a loss on the scale of RGB.
    """
    from kornia.color import rgb_to_linear_rgb

    images = _checked(images)
    xyz = _mix(rgb_to_linear_rgb(images), _XYZ)
    floored = xyz.clamp(min=_CBRT_ABOVE)
    x, y, z = torch.where(xyz > _CBRT_ABOVE, floored.pow(1 / 3), 7.787 * xyz + 4 / 29).unbind(-3)
    lab = torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)

    with torch.no_grad():
        decoded = 2.4 / 1.055 * ((images.clamp(min=_LINEAR_BELOW) + 0.055) / 1.055).pow(1.4)
        srgb_slope = torch.where(images > _LINEAR_BELOW, decoded, torch.full_like(images, 1 / 12.92))
        root_slope = torch.where(xyz > _CBRT_ABOVE, floored.pow(-2 / 3) / 3, torch.full_like(xyz, 7.787))
        matrix = _constant(_XYZ, images)[:, :, None, None]
        # Jacobian of f(X), f(Y), f(Z) with respect to R, G, B: [..., 3, 3, H, W].
        dx, dy, dz = (root_slope.unsqueeze(-3) * matrix * srgb_slope.unsqueeze(-4)).unbind(-4)
        rows = torch.stack([116 * dy, 500 * (dx - dy), 200 * (dy - dz)], dim=-4)
        reach = rows.abs().amax(-3)
    return _limit(lab, reach, "lab")


# OpenCV's 8-bit conversions are fixed-point. Reciprocals with 12 fractional bits (HSV), the sRGB curve with 3 and
# the cube root of Lab with 15: indices are uint8 levels, for the cube root 2040 = 8 x 255 steps a unit.
_SATURATION = (0, *(round((255 << 12) / value) for value in range(1, 256)))
_HUE = (0, *(round((30 << 12) / chroma) for chroma in range(1, 256)))
_LEVELS = [level / 255 for level in range(256)]
_DECODED = tuple(round(2040 * (v / 12.92 if v <= _LINEAR_BELOW else ((v + 0.055) / 1.055) ** 2.4)) for v in _LEVELS)
_ROOT = tuple(
    round(32768 * (t ** (1 / 3) if t > _CBRT_ABOVE else 7.787 * t + 4 / 29)) for t in (k / 2040 for k in range(2041))
)
_XYZ_12_BITS: Matrix = tuple(tuple(round(value * 4096) for value in row) for row in _XYZ)


def _quantised(images: Tensor) -> tuple[Tensor, Tensor]:
    """The images clipped to [0, 1] and rounded to n / 255, gradient straight through, and the levels n."""
    images = _checked(images)
    # The second clamp keeps the table look-ups in range for NaN, which the first lets pass.
    levels = (images.detach().clamp(0, 1) * 255).round().long().clamp(0, 255)
    return _straight_through(levels.to(images.dtype) / 255, images), levels


def _descale(value: Tensor, bits: int) -> Tensor:
    return (value + (1 << (bits - 1))) >> bits


def _as_rgb(levels: Tensor, surrogate: Tensor) -> Tensor:
    """8-bit result / 255, with the gradient of the same conversion without rounding or saturation."""
    return _straight_through(levels.clamp(0, 255).to(surrogate.dtype) / 255, surrogate)


def opencv_hsv(images: Tensor) -> Tensor:
    """``cv2.cvtColor(uint8, COLOR_RGB2HSV) / 255``: hue 0..179 over 255, saturation and value 0..255 over 255.

    The convention LAR-IQA was trained with: the 8-bit result is fed to the network as if it were RGB. Input is
    rounded to 8 bits first. Both roundings and the clipping to [0, 1] pass the gradient straight through; the
    conversion between them has the bounded gradient of :func:`rgb_to_hsv`.
    """
    images, levels = _quantised(images)
    r, g, b = levels.unbind(-3)
    value = levels.amax(-3)
    chroma = value - levels.amin(-3)
    sextant = torch.where(value == r, g - b, torch.where(value == g, b - r + 2 * chroma, r - g + 4 * chroma))
    hue = _descale(sextant * _constant(_HUE, levels)[chroma], 12)
    saturation = _descale(chroma * _constant(_SATURATION, levels)[value], 12)
    scale = _constant((90 / math.pi / 255, 1.0, 1.0), images)[:, None, None]
    return _as_rgb(torch.stack([hue % 180, saturation, value], dim=-3), rgb_to_hsv(images) * scale)


def opencv_lab(images: Tensor) -> Tensor:
    """``cv2.cvtColor(uint8, COLOR_RGB2LAB) / 255``: L* 255/100, a* + 128 and b* + 128, each over 255.

    Rounding, clipping and gradient as in :func:`opencv_hsv`, with :func:`rgb_to_lab` between. Of the 2**24
    colours 0.01 % differ from OpenCV 5.0, by 1/255 in a or b (HSV and YUV: none).
    """
    images, levels = _quantised(images)
    steps = _descale(_mix(_constant(_DECODED, levels)[levels], _XYZ_12_BITS), 12)
    x, y, z = _constant(_ROOT, levels)[steps].unbind(-3)
    lightness = _descale(296 * y - 1336934, 15)  # 296 = 116 * 2.55 and 1336934 = 16 * 2.55 * 2**15, as OpenCV rounds
    a, b = _descale(500 * (x - y), 15) + 128, _descale(200 * (y - z), 15) + 128
    scale = _constant((1 / 100, 1 / 255, 1 / 255), images)[:, None, None]
    return _as_rgb(torch.stack([lightness, a, b], dim=-3), rgb_to_lab(images) * scale)


def opencv_yuv(images: Tensor) -> Tensor:
    """``cv2.cvtColor(uint8, COLOR_RGB2YUV) / 255``: Y, 0.492 (B - Y) + 128 and 0.877 (R - Y) + 128, each over 255.

    Rounding, clipping and gradient as in :func:`opencv_hsv`. V saturates for strong reds and cyans.
    """
    images, levels = _quantised(images)
    r, g, b = levels.unbind(-3)
    luma = _descale(4899 * r + 9617 * g + 1868 * b, 14)  # 0.299, 0.587, 0.114 with 14 fractional bits
    u, v = _descale(8061 * (b - luma), 14) + 128, _descale(14369 * (r - luma), 14) + 128
    return _as_rgb(torch.stack([luma, u, v], dim=-3), _mix(images, _OPENCV_YUV))


def convert(images: Tensor, space: str) -> Tensor:
    """Convert RGB to a space of :data:`COLOR_SPACES` by name.

    Args:
        images: RGB, float [..., 3, H, W], nominally in [0, 1].
        space: a key of :data:`COLOR_SPACES`; one channel is returned for the luminances and three otherwise.

    Raises:
        ValueError: ``space`` is unknown; the message names the nearest one.

    Example:
        >>> convert(torch.rand(2, 3, 8, 8), "lab").shape
        torch.Size([2, 3, 8, 8])
    """
    return COLOR_SPACES[check_choice("colour space", space, COLOR_SPACES)](images)


COLOR_SPACES: dict[str, Callable[[Tensor], Tensor]] = {
    "rgb": _checked,
    "ycbcr": rgb_to_ycbcr,
    "yuv": rgb_to_yuv,
    "hsv": rgb_to_hsv,
    "lab": rgb_to_lab,
    "lmn": rgb_to_lmn,
    "luminance": rgb_to_luminance,
    "luminance_bt709": partial(rgb_to_luminance, standard="bt709"),
    "opencv_hsv": opencv_hsv,
    "opencv_lab": opencv_lab,
    "opencv_yuv": opencv_yuv,
}
