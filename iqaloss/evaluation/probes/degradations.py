"""Known degradations of clean photographs: each takes one perceptual property away, at a known strength."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from iqaloss._errors import check_choice
from iqaloss.evaluation.probes import distortions

PROPERTIES = ("brightness", "colorfulness", "contrast", "noisiness", "sharpness")
"""What can be lost, by the names of the dimensions that should fall then (a high noisiness means little noise)."""


@dataclass(frozen=True)
class Degradation:
    """One way to make a photograph worse; called with an image, a strength and a generator.

    The result is a function of these three alone: the same seed gives the same noise, direction and kernel.

    Attributes:
        name: What it is called.
        dimension: The property that it takes away, by the name of the dimension that should fall.
        apply: ``(image [3, H, W], strength, generator) -> image``, for strengths above 0.

    Example:
        >>> image = torch.rand(3, 48, 64)
        >>> noisy = by_name("gaussian-noise")(image, 0.5, torch.Generator().manual_seed(0))
        >>> noisy.shape, bool((noisy >= 0).all() and (noisy <= 1).all())
        (torch.Size([3, 48, 64]), True)
    """

    name: str
    dimension: str
    apply: Callable[[Tensor, float, Generator], Tensor]

    def __call__(self, image: Tensor, strength: float, generator: Generator) -> Tensor:
        """Returns the degraded image ``[3, H, W]`` in [0, 1]; at strength 0 the image itself.

        Args:
            image: Float RGB in [0, 1], ``[3, H, W]``, on the CPU.
            strength: From 0 to 1. Close to 0 a degradation leaves next to nothing, except ``jpeg``, which begins at
                quality 85, and ``motion-blur``, which begins at a line of one pixel.
            generator: Source of its random choices.

        Raises:
            ValueError: If the image has another shape, or the strength is outside [0, 1].
        """
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"{self.name} needs an image of shape [3, H, W], got {list(image.shape)}")
        if not 0.0 <= strength <= 1.0:
            raise ValueError(f"the strength of {self.name} must be in [0, 1], got {strength}")
        return image if strength == 0.0 else self.apply(image, strength, generator).clamp(0.0, 1.0)


DEGRADATIONS: tuple[Degradation, ...] = (
    Degradation("under-exposure", "brightness", distortions.under_exposure),
    Degradation("over-exposure", "brightness", distortions.over_exposure),
    Degradation("gamma-dark", "brightness", distortions.gamma_dark),
    Degradation("gamma-bright", "brightness", distortions.gamma_bright),
    Degradation("desaturation", "colorfulness", distortions.desaturate),
    Degradation("over-saturation", "colorfulness", distortions.over_saturate),
    Degradation("low-contrast", "contrast", distortions.low_contrast),
    Degradation("over-contrast", "contrast", distortions.over_contrast),
    Degradation("gaussian-noise", "noisiness", distortions.gaussian_noise),
    Degradation("shot-noise", "noisiness", distortions.shot_noise),
    Degradation("iso-noise", "noisiness", distortions.iso_noise),
    Degradation("jpeg", "noisiness", distortions.jpeg),
    Degradation("defocus", "sharpness", distortions.defocus),
    Degradation("motion-blur", "sharpness", distortions.motion_blur),
    Degradation("upscaling", "sharpness", distortions.upscaled),
    Degradation("over-smoothing", "sharpness", distortions.smooth),
    Degradation("over-sharpening", "sharpness", distortions.over_sharpen),
)
"""Every degradation, in the order of the properties.

Both directions are there for brightness, colorfulness, contrast and sharpness: more is not always better.
"""


def by_name(name: str) -> Degradation:
    """Returns a degradation by its name; raises ``ValueError`` with the nearest name for an unknown one.

    Example:
        >>> by_name("defocus").dimension
        'sharpness'
    """
    names = [item.name for item in DEGRADATIONS]
    return DEGRADATIONS[names.index(check_choice("degradation", name, names))]


def versions(item: Degradation, image: Tensor, strengths: Sequence[float], seed: int = 0) -> list[Tensor]:
    """Returns an image degraded at several strengths, with the same noise, direction and kernel at each.

    Example:
        >>> [same, worse] = versions(by_name("desaturation"), torch.rand(3, 8, 8), [0.0, 1.0])
        >>> float(worse.std(dim=0).max()) < 1e-6
        True
    """
    generator = torch.Generator()
    return [item(image, strength, generator.manual_seed(seed)) for strength in strengths]
