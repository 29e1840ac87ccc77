"""What is restored: how an original becomes the input of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from iqaloss.evaluation.probes.gaming.measure import as_saved
from iqaloss.evaluation.probes.gaming.networks import shrink

NOISE = 25 / 255
"""Standard deviation of the noise that is to be removed."""

BLUR, BLUR_NOISE = 1.6, 2 / 255
"""Standard deviations of the blur, in pixels, and of the noise over it."""


@dataclass(frozen=True)
class Task:
    """A kind of restoration.

    Attributes:
        title: What tables call it.
        scale: How many times smaller the input is.
        degrade: Takes originals ``[B, 3, H, W]`` in [0, 1] and a generator; returns inputs, of 8 bits. Where the
            inputs were photographed too they follow the originals, ``[B, 6, H, W]``.
        networks: Which networks do it, the first by default.
        paired: Whether the inputs were photographed too.
    """

    title: str
    scale: int
    degrade: Callable[[Tensor, torch.Generator], Tensor]
    networks: tuple[str, ...]
    paired: bool = False


def smaller(images: Tensor, generator: torch.Generator) -> Tensor:
    """Bicubic, antialiased, four times smaller."""
    return as_saved(shrink(images))


def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    """With normal noise."""
    return as_saved(images + NOISE * torch.randn(images.shape, generator=generator))


def blurred(images: Tensor, generator: torch.Generator) -> Tensor:
    """Out of focus, with a little noise."""
    soft = gaussian_blur(images, [13, 13], [BLUR, BLUR])
    return as_saved(soft + BLUR_NOISE * torch.randn(images.shape, generator=generator))


def photographed(images: Tensor, generator: torch.Generator) -> Tensor:
    """The photograph beside the original."""
    return images[:, 3:]


TASKS: Mapping[str, Task] = {
    "x4": Task("x4 super-resolution", 4, smaller, ("rlfn", "msrresnet", "rrdbnet", "swinir")),
    "denoise": Task("denoising", 1, noisy, ("rlfn_same_size",)),
    "deblur": Task("deblurring", 1, blurred, ("rlfn_same_size",)),
    "real_noise": Task("denoising of photographs", 1, photographed, ("rlfn_same_size",), paired=True),
}
