"""What makes the low-quality input of a photograph: pure functions of the picture and a generator."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from iqaloss._errors import unknown_name
from iqaloss.data.images import open_image, to_image, to_tensor
from iqaloss.evaluation.probes.distortions import filter_image, gaussian_blur, luminance

MODES = ("area", "bilinear", "bicubic")


@dataclass(frozen=True)
class Degradation:
    """Photograph ``[3, H, W]`` in [0, 1] to input, ``scale`` times smaller, in steps of 1/255 as files have them.

    Attributes:
        name: A name out of :data:`DEGRADATIONS`.
        strength: Its strength.
    """

    name: str
    strength: float

    def __call__(self, image: Tensor, scale: int, generator: Generator) -> Tensor:
        """Degrades an image whose sides the scale divides."""
        size = (image.shape[1] // scale, image.shape[2] // scale)
        found = DEGRADATIONS[self.name].apply(image, size, self.strength, generator)
        return (found.clamp(0.0, 1.0) * 255.0).round() / 255.0


@dataclass(frozen=True)
class Kind:
    """A kind of degradation.

    Attributes:
        what: One line for lists.
        apply: ``(image, size, strength, generator)`` to the image of that size.
        strength: The strength where none is given.
        at_scale_one: Whether it does anything to an image that keeps its size.
    """

    what: str
    apply: Callable[[Tensor, tuple[int, int], float, Generator], Tensor]
    strength: float = 1.0
    at_scale_one: bool = True


def read_degradation(text: str, scale: int) -> Degradation:
    """Reads a name, or a name and a strength as in ``noise:25``.

    Args:
        text: As a person writes it.
        scale: Of the network, for which the degradation must do something.

    Raises:
        ValueError: For an unknown name, a strength that is no positive number, or a degradation that does nothing.

    Example:
        >>> read_degradation("noise:15", scale=1)
        Degradation(name='noise', strength=15.0)
    """
    name, colon, rest = text.partition(":")
    if name not in DEGRADATIONS:
        raise ValueError(f"{unknown_name('degradation', name, DEGRADATIONS)}. A folder of inputs is given as --inputs")
    kind = DEGRADATIONS[name]
    try:
        strength = float(rest) if colon else kind.strength
    except ValueError:
        strength = math.nan
    if not (math.isfinite(strength) and strength > 0):
        raise ValueError(f"the strength of a degradation must be a positive number, as in noise:25; got {text!r}")
    if scale == 1 and not kind.at_scale_one:
        others = ", ".join(each for each, one in DEGRADATIONS.items() if one.at_scale_one)
        raise ValueError(f"{name} does nothing for a network that keeps the size; there are: {others}; or --inputs")
    return Degradation(name, strength)


def shrink(image: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """Resizes with antialiasing; the image itself where it has the size already.

    Example:
        >>> shrink(torch.rand(3, 16, 8), (4, 2)).shape
        torch.Size([3, 4, 2])
    """
    if tuple(image.shape[1:]) == size:
        return image
    if mode == "area":
        return F.interpolate(image[None], size, mode="area")[0]
    return F.interpolate(image[None], size, mode=mode, antialias=True, align_corners=False)[0].clamp(0.0, 1.0)


def compress(image: Tensor, quality: int) -> Tensor:
    """Returns what a JPEG file of a quality holds."""
    buffer = io.BytesIO()
    to_image(image).save(buffer, format="JPEG", quality=quality)
    return to_tensor(open_image(buffer.getvalue()))


def add_noise(image: Tensor, sigma: float, generator: Generator, *, shot: bool = False, gray: bool = False) -> Tensor:
    """Adds Gaussian noise, or noise whose variance follows the light, to all channels alike or to each."""
    shape = image[:1].shape if gray else image.shape
    noise = torch.randn(shape, generator=generator) * sigma
    if shot:
        noise = noise * (luminance(image) if gray else image).clamp_min(0.0).sqrt()
    return (image + noise).clamp(0.0, 1.0)


def _between(generator: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def _chance(generator: Generator, share: float) -> bool:
    return float(torch.rand((), generator=generator)) < share


def random_kernel(generator: Generator, low: float, high: float) -> Tensor:
    """Returns a Gaussian kernel, round half of the time and else longer in one direction, of 7 to 21 pixels."""
    side = 2 * int(torch.randint(3, 11, (), generator=generator)) + 1
    along = _between(generator, low, high)
    across = along if _chance(generator, 0.5) else _between(generator, low, high)
    angle = _between(generator, 0.0, math.pi)
    line = torch.arange(side) - side // 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    kernel = torch.exp(-0.5 * ((u / along) ** 2 + (v / across) ** 2))
    return kernel / kernel.sum()


def _round(image: Tensor, size: tuple[int, int], generator: Generator, first: bool) -> Tensor:
    """Blur, resize, noise, JPEG: one of the two rounds of Real-ESRGAN, with its ranges (arXiv 2107.10833, Sec. 3)."""
    if first or _chance(generator, 0.8):
        image = filter_image(image, random_kernel(generator, 0.2, 3.0 if first else 1.5))
    draw = float(torch.rand((), generator=generator))
    low, high = (0.15, 1.5) if first else (0.3, 1.2)
    factor = _between(generator, 1.0, high) if draw < 0.25 else _between(generator, low, 1.0) if draw < 0.9 else 1.0
    base = image.shape[1:] if first else size
    target = (max(4, round(base[0] * factor)), max(4, round(base[1] * factor)))
    image = shrink(image, target, MODES[int(torch.randint(3, (), generator=generator))])
    sigma = _between(generator, 1.0, 30.0 if first else 25.0) / 255.0
    image = add_noise(image, sigma, generator, shot=_chance(generator, 0.5), gray=_chance(generator, 0.4))
    return compress(image, round(_between(generator, 30.0, 95.0)))


def realistic(image: Tensor, size: tuple[int, int], strength: float, generator: Generator) -> Tensor:
    """Two rounds of degradation, mixed with the plain shrunk image where the strength is below 1."""
    twice = _round(_round(image, size, generator, True), size, generator, False)
    found = shrink(twice, size, MODES[int(torch.randint(3, (), generator=generator))])
    return torch.lerp(shrink(image, size), found, min(1.0, strength))


DEGRADATIONS: dict[str, Kind] = {
    "bicubic": Kind("bicubic, antialiased", lambda image, size, s, g: shrink(image, size), at_scale_one=False),
    "realistic": Kind("blur, resizing, noise and JPEG, twice, as Real-ESRGAN's", realistic),
    "noise": Kind(
        "Gaussian noise of so many levels of 255",
        lambda image, size, s, g: add_noise(shrink(image, size), s / 255.0, g),
        25.0,
    ),
    "blur": Kind(
        "a Gaussian of so many pixels, before shrinking",
        lambda image, size, s, g: shrink(gaussian_blur(image, s), size),
        1.6,
    ),
    "jpeg": Kind("JPEG of this quality", lambda image, size, s, g: compress(shrink(image, size), round(s)), 40.0),
}
"""Every degradation by name."""
