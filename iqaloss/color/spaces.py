"""The usual colour spaces, each with the values of its textbook conversion."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from iqaloss._errors import check_choice
from iqaloss.color.bounded import CBRT_ABOVE, LINEAR_BELOW, XYZ, Matrix, checked, constant, limit, mix

LUMA_WEIGHTS: dict[str, tuple[float, float, float]] = {
    "bt601": (0.299, 0.587, 0.114),
    "bt709": (0.2126, 0.7152, 0.0722),
}
_YUV: Matrix = ((0.299, 0.587, 0.114), (-0.147, -0.289, 0.436), (0.615, -0.515, -0.100))
_LMN: Matrix = ((0.06, 0.63, 0.27), (0.30, 0.04, -0.35), (0.34, -0.60, 0.17))
_BLACK_UP_TO = 1e-20  # the reciprocal of a lighter pixel's chroma, grey aside, cannot overflow float32


def rgb_to_ycbcr(images: Tensor) -> Tensor:
    """Full-range YCbCr, BT.601 luma: Y in [0, 1], Cb and Cr in [0, 1] with grey at 0.5.

    The values of ``kornia.color.rgb_to_ycbcr``, not the 16-235 studio range in which PSNR-Y is usually reported.

    Example:
        >>> rgb_to_ycbcr(torch.ones(1, 3, 1, 1)).flatten()
        tensor([1.0000, 0.5000, 0.5000])
    """
    from kornia.color import rgb_to_ycbcr as kornia_ycbcr

    return kornia_ycbcr(checked(images))


def rgb_to_yuv(images: Tensor) -> Tensor:
    """YUV of BT.470 (PAL): Y in [0, 1], U in [-0.436, 0.436], V in [-0.615, 0.615]; values of kornia."""
    return mix(checked(images), _YUV)


def rgb_to_lmn(images: Tensor) -> Tensor:
    """Opponent space LMN of the FR metrics VSI and MDSI: L luminance-like, M and N two chrominances.

    ``L = 0.06 R + 0.63 G + 0.27 B``, ``M = 0.30 R + 0.04 G - 0.35 B``, ``N = 0.34 R - 0.60 G + 0.17 B``: the
    Gaussian colour model of Geusebroek et al., "Color Invariance" (TPAMI 2001), as used by Zhang et al., "VSI"
    (TIP 2014). MDSI takes M and N from the same rows and names them H and M. Rows do not sum to 1 or 0: white is
    (0.96, -0.01, -0.09).
    """
    return mix(checked(images), _LMN)


def rgb_to_luminance(images: Tensor, standard: str = "bt601") -> Tensor:
    """Luma: a weighted sum of the gamma-encoded channels, the grey image that IQA metrics work on.

    Args:
        images: RGB, float [..., 3, H, W].
        standard: ``"bt601"`` weighs by 0.299, 0.587, 0.114 (JPEG, OpenCV, kornia), ``"bt709"`` by 0.2126, 0.7152,
            0.0722 (HDTV; also the luminance row of the sRGB primaries).

    Returns:
        [..., 1, H, W].
    """
    images = checked(images)
    return mix(images, (LUMA_WEIGHTS[check_choice("luma standard", standard, LUMA_WEIGHTS)],))


def rgb_to_hsv(images: Tensor) -> Tensor:
    """HSV: hue in [0, 2 pi) radians, saturation and value in [0, 1]; values of kornia.

    Hue's true derivative is ``pi / 3 / chroma`` and saturation's ``1 / value``: exact for a chroma (value) of at
    least 1/12, limited below, zero at an exact grey (black). A pixel without a channel above 1e-20 is black: its hue
    and saturation are 0, where the formula would divide by 0, a denormal or a negative number.
    """
    from kornia.color import rgb_to_hsv as kornia_hsv

    images = checked(images)
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
    return limit(torch.cat([hue_saturation, value], dim=-3), reach, "hsv")


def rgb_to_lab(images: Tensor) -> Tensor:
    """CIE L*a*b* (D65, 2 degrees) of sRGB: L* in [0, 100], a* in [-87, 99], b* in [-108, 95]; values of kornia.

    On an even grid of the RGB cube the gradient is exact for 99.8, 88 and 95 % of the colours (L*, a*, b*); limited
    are those, mostly dark or saturated, with a steep cube root. Divide by 100 for a loss on the scale of RGB.
    """
    images = checked(images)
    # Not kornia's: its power of a negative value has no gradient in 0.7.3.
    coded = (images.clamp(min=LINEAR_BELOW) + 0.055) / 1.055
    xyz = mix(torch.where(images > LINEAR_BELOW, coded.pow(2.4), images / 12.92), XYZ)
    floored = xyz.clamp(min=CBRT_ABOVE)
    x, y, z = torch.where(xyz > CBRT_ABOVE, floored.pow(1 / 3), 7.787 * xyz + 4 / 29).unbind(-3)
    lab = torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-3)

    with torch.no_grad():
        decoded = 2.4 / 1.055 * coded.pow(1.4)
        srgb_slope = torch.where(images > LINEAR_BELOW, decoded, torch.full_like(images, 1 / 12.92))
        root_slope = torch.where(xyz > CBRT_ABOVE, floored.pow(-2 / 3) / 3, torch.full_like(xyz, 7.787))
        matrix = constant(XYZ, images)[:, :, None, None]
        # Jacobian of f(X), f(Y), f(Z) with respect to R, G, B: [..., 3, 3, H, W].
        dx, dy, dz = (root_slope.unsqueeze(-3) * matrix * srgb_slope.unsqueeze(-4)).unbind(-4)
        rows = torch.stack([116 * dy, 500 * (dx - dy), 200 * (dy - dz)], dim=-4)
        reach = rows.abs().amax(-3)
    return limit(lab, reach, "lab")
