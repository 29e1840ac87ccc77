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

from collections.abc import Callable
from functools import partial

from torch import Tensor

from iqaloss._errors import check_choice
from iqaloss.color.bounded import GRADIENT_BOUNDS, checked
from iqaloss.color.opencv import opencv_hsv, opencv_lab, opencv_yuv
from iqaloss.color.spaces import (
    LUMA_WEIGHTS,
    rgb_to_hsv,
    rgb_to_lab,
    rgb_to_lmn,
    rgb_to_luminance,
    rgb_to_ycbcr,
    rgb_to_yuv,
)

__all__ = [
    "COLOR_SPACES",
    "GRADIENT_BOUNDS",
    "LUMA_WEIGHTS",
    "convert",
    "opencv_hsv",
    "opencv_lab",
    "opencv_yuv",
    "rgb_to_hsv",
    "rgb_to_lab",
    "rgb_to_lmn",
    "rgb_to_luminance",
    "rgb_to_ycbcr",
    "rgb_to_yuv",
]


def convert(images: Tensor, space: str) -> Tensor:
    """Convert RGB to a space of :data:`COLOR_SPACES` by name.

    Args:
        images: RGB, float [..., 3, H, W], nominally in [0, 1].
        space: a key of :data:`COLOR_SPACES`; one channel is returned for the luminances and three otherwise.

    Raises:
        ValueError: ``space`` is unknown; the message names the nearest one.

    Example:
        >>> import torch
        >>> convert(torch.rand(2, 3, 8, 8), "lab").shape
        torch.Size([2, 3, 8, 8])
    """
    return COLOR_SPACES[check_choice("colour space", space, COLOR_SPACES)](images)


COLOR_SPACES: dict[str, Callable[[Tensor], Tensor]] = {
    "rgb": checked,
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
