"""What is done to a photograph, as pure functions: blur, noise, compression, exposure, colour and contrast.

Every degradation takes a float RGB image ``[3, H, W]`` in [0, 1] of any size, a strength from 0 to 1, and a generator,
and returns an image of the same size in [0, 1]. It is a function of these three alone. Strengths are spaced so that
equal steps look roughly equal; at strength 0 most return the image itself (see
:data:`iqaloss.evaluation.probes.degradations.DEGRADATIONS` for the ones that do not).
"""

from __future__ import annotations

import io
import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from iqaloss.data.images import open_image, to_image, to_tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luminance."""


def _normal(shape: torch.Size, generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator)


def _uniform(generator: Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def filter_image(image: Tensor, kernel: Tensor) -> Tensor:
    """Correlates each channel with a kernel ``[kh, kw]``, edges replicated.

    Example:
        >>> filter_image(torch.ones(3, 4, 5), torch.full((3, 3), 1 / 9)).shape
        torch.Size([3, 4, 5])
    """
    kh, kw = kernel.shape
    pad = (kw // 2, kw // 2, kh // 2, kh // 2)
    padded = F.pad(image[None], pad, mode="replicate")
    return F.conv2d(padded, kernel.expand(3, 1, kh, kw), groups=3)[0]


def gaussian_blur(image: Tensor, sigma: float) -> Tensor:
    """Blurs with a Gaussian of the given standard deviation in pixels; edges replicated.

    Example:
        >>> gray = torch.full((3, 8, 8), 0.5)
        >>> torch.allclose(gaussian_blur(gray, 1.5), gray)
        True
    """
    radius = max(1, math.ceil(3.0 * sigma))
    line = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / max(sigma, 1e-3)) ** 2)
    line = line / line.sum()
    return filter_image(filter_image(image, line[None]), line[:, None])


def defocus(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Gaussian or disc blur, up to 4 pixels."""
    size = 4.0 * strength**1.3
    if float(torch.rand((), generator=generator)) < 0.6 or size < 0.7:
        return gaussian_blur(image, size)
    radius = math.ceil(1.5 * size)
    grid = torch.arange(-radius, radius + 1, dtype=torch.float32)
    distance = (grid[:, None] ** 2 + grid[None] ** 2).sqrt()
    disc = (1.5 * size + 0.5 - distance).clamp(0.0, 1.0)
    return filter_image(image, disc / disc.sum())


def motion_blur(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Motion along a random line of up to 17 pixels."""
    length = 1.0 + 16.0 * strength**1.2
    angle = _uniform(generator, 0.0, math.pi)
    radius = math.ceil(length / 2)
    kernel = torch.zeros(2 * radius + 1, 2 * radius + 1)
    for step in torch.linspace(-length / 2, length / 2, 4 * radius + 1).tolist():
        y, x = radius + step * math.sin(angle), radius + step * math.cos(angle)
        top, left = min(int(y), 2 * radius - 1), min(int(x), 2 * radius - 1)
        fy, fx = y - top, x - left
        corner = torch.tensor([[(1 - fy) * (1 - fx), (1 - fy) * fx], [fy * (1 - fx), fy * fx]])
        kernel[top : top + 2, left : left + 2] += corner
    return filter_image(image, kernel / kernel.sum())


def resample(image: Tensor, scale: float, mode: str = "bicubic") -> Tensor:
    """Shrinks by a factor with antialiasing and enlarges back: what super-resolution starts from.

    Example:
        >>> resample(torch.rand(3, 24, 36), scale=3.0).shape
        torch.Size([3, 24, 36])
    """
    height, width = image.shape[1:]
    small = (max(2, round(height / scale)), max(2, round(width / scale)))
    down = F.interpolate(image[None], small, mode="bicubic", antialias=True, align_corners=False).clamp(0.0, 1.0)
    return F.interpolate(down, (height, width), mode=mode, align_corners=False)[0].clamp(0.0, 1.0)


def upscaled(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Bicubic (sometimes bilinear) upscaling from a factor of up to 4.5."""
    mode = "bicubic" if float(torch.rand((), generator=generator)) < 0.75 else "bilinear"
    return resample(image, 1.0 + 3.5 * strength, mode)


def smooth(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Edge-preserving smoothing (guided filter): the waxy look of strong denoising."""
    radius = 2 + round(2 * strength)
    area = 2 * radius + 1

    def box(x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x[None], (radius,) * 4, mode="replicate"), area, stride=1)[0]

    mean = box(image)
    variance = (box(image * image) - mean * mean).clamp_min(0.0)
    gain = variance / (variance + 0.0004 * (200.0**strength - 0.9))
    return (box(gain) * image + box(mean * (1.0 - gain))).clamp(0.0, 1.0)


def over_sharpen(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Unsharp masking to the point of halos."""
    sigma = _uniform(generator, 0.8, 2.0)
    return (image + 5.0 * strength * (image - gaussian_blur(image, sigma))).clamp(0.0, 1.0)


def gaussian_noise(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """White noise, standard deviation up to 0.2."""
    return (image + 0.2 * strength**1.2 * _normal(image.shape, generator)).clamp(0.0, 1.0)


def shot_noise(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Photon noise: its variance follows the signal."""
    return (image + 0.25 * strength**1.2 * image.sqrt() * _normal(image.shape, generator)).clamp(0.0, 1.0)


def iso_noise(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """High-ISO noise: correlated between pixels, stronger in the shadows, partly in colour."""
    grain = gaussian_blur(_normal(image.shape, generator), _uniform(generator, 0.5, 1.0))
    grain = grain / grain.std().clamp_min(1e-6)
    gray = grain.mean(0, keepdim=True) * math.sqrt(3.0)
    color = _uniform(generator, 0.2, 0.9)
    noise = color * grain + (1.0 - color) * gray
    return (image + 0.2 * strength**1.2 * (1.15 - 0.6 * image) * noise).clamp(0.0, 1.0)


def jpeg(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """JPEG compression from quality 85 to 7."""
    quality = round(85.0 * (7.0 / 85.0) ** strength)
    buffer = io.BytesIO()
    to_image(image).save(buffer, format="JPEG", quality=quality)
    return to_tensor(open_image(buffer.getvalue()))


def _expose(image: Tensor, stops: float) -> Tensor:
    return (image.clamp(0.0, 1.0) ** 2.2 * 2.0**stops).clamp(1e-8, 1.0) ** (1.0 / 2.2)


def under_exposure(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Up to four stops too dark."""
    return _expose(image, -4.0 * strength)


def over_exposure(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Up to 2.2 stops too bright; highlights clip."""
    return _expose(image, 2.2 * strength)


def gamma_dark(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Gamma up to 2.8."""
    return image.clamp_min(1e-6) ** (1.0 + 1.8 * strength)


def gamma_bright(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Gamma down to 0.4."""
    return image.clamp_min(1e-6) ** (1.0 / (1.0 + 1.5 * strength))


def luminance(image: Tensor) -> Tensor:
    """Returns the luminance ``[1, H, W]`` of an image.

    Example:
        >>> round(luminance(torch.ones(3, 2, 2)).mean().item(), 4)
        1.0
    """
    return sum(weight * image[i : i + 1] for i, weight in enumerate(LUMA))  # type: ignore[return-value]


def desaturate(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Towards grey."""
    return torch.lerp(image, luminance(image).expand_as(image), strength)


def over_saturate(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Colours up to 3.5 times as far from grey."""
    gray = luminance(image)
    return (gray + (1.0 + 2.5 * strength) * (image - gray)).clamp(0.0, 1.0)


def low_contrast(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Towards the mean luminance."""
    mean = luminance(image).mean()
    return mean + (1.0 - 0.88 * strength) * (image - mean)


def over_contrast(image: Tensor, strength: float, generator: Generator) -> Tensor:
    """Up to 3.5 times the distance from the mean luminance; both ends clip."""
    mean = luminance(image).mean()
    return (mean + (1.0 + 2.5 * strength) * (image - mean)).clamp(0.0, 1.0)
