"""What can be measured of a picture without asking a network: five properties that no training saw.

Each takes pictures ``[B, 3, H, W]`` in [0, 1] and the originals, and returns ``[B]``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from iqaloss.evaluation.patterns import luminance

FLAT_SHARE = 0.1
"""Share of an original's blocks that count as flat."""

BLOCK = 16
"""Side of these blocks."""


def mean_luminance(images: Tensor, originals: Tensor) -> Tensor:
    """How bright: the mean of the luminance."""
    return luminance(images).mean((1, 2))


def rms_contrast(images: Tensor, originals: Tensor) -> Tensor:
    """How much contrast: the standard deviation of the luminance."""
    return luminance(images).std((1, 2))


def colorfulness(images: Tensor, originals: Tensor) -> Tensor:
    """How colourful, after Hasler and Suesstrunk (Human Vision and Electronic Imaging, 2003)."""
    red, green, blue = images.unbind(1)
    pairs = torch.stack([red - green, (red + green) / 2 - blue], 1).flatten(2)
    return pairs.std(2).norm(dim=1) + 0.3 * pairs.mean(2).norm(dim=1)


def gradient_energy(images: Tensor, originals: Tensor) -> Tensor:
    """How much detail: the mean squared difference of neighbours in luminance."""
    light = luminance(images)
    return light.diff(dim=2).square().mean((1, 2)) + light.diff(dim=1).square().mean((1, 2))


def crete_sharpness(images: Tensor, originals: Tensor) -> Tensor:
    """How sharp: one minus the blur of Crete-Roffet et al. (SPIE 6492, 2007)."""
    from skimage.measure import blur_effect

    blurs = [blur_effect(light.double().numpy()) for light in luminance(images)]
    return 1 - torch.tensor(blurs)


def flat_noise(images: Tensor, originals: Tensor) -> Tensor:
    """How noisy: the standard deviation of the noise (Immerkaer, CVIU 1996) where the original is flat."""
    kernel = torch.tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]])[None, None]
    found = F.conv2d(luminance(images)[:, None], kernel, padding=1)[:, 0].abs()
    blocks = _blocks(found).mean(2)
    energy = _blocks(luminance(originals)).std(2)
    count = max(1, round(FLAT_SHARE * blocks.shape[1]))
    flat = energy.argsort(1)[:, :count]
    return (torch.pi / 2) ** 0.5 / 6 * blocks.gather(1, flat).mean(1)


def _blocks(light: Tensor) -> Tensor:
    """Cuts ``[B, H, W]`` into blocks ``[B, N, pixels]``, dropping what is left over."""
    height, width = (side // BLOCK * BLOCK for side in light.shape[1:])
    return rearrange(light[:, :height, :width], "b (h p) (w q) -> b (h w) (p q)", p=BLOCK, q=BLOCK)


PHYSICAL: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean luminance": mean_luminance,
    "RMS contrast": rms_contrast,
    "Hasler-Suesstrunk": colorfulness,
    "gradient energy": gradient_energy,
    "Crete sharpness": crete_sharpness,
    "flat noise": flat_noise,
}

OF_DIMENSION: Mapping[str, tuple[str, int]] = {
    "brightness": ("mean luminance", 1),
    "colorfulness": ("Hasler-Suesstrunk", 1),
    "contrast": ("RMS contrast", 1),
    "noisiness": ("flat noise", -1),
    "sharpness": ("Crete sharpness", 1),
}
"""The measure that speaks for a dimension, and which way is better: a high score of noisiness means little noise."""
