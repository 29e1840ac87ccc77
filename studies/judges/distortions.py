"""Distortions of TID2013 that can be rebuilt, each with one knob that is turned until the PSNR is right.

Ponomarenko et al., "Image database TID2013", Signal Processing: Image Communication 30, 2015, names 24 types at five
levels of 33, 30, 27, 24 and 21 dB. It describes them in words; filters and coders that it does not give are chosen
here. Not rebuilt: masked noise, denoising, transmission errors, patterns moved nearby, blocks, comfort noise, noise
under a lossy coder, sparse sampling (methods that are not given), and the mean shift (its sign at a level is not).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.float64]  # [H, W, 3], 0 to 255
Draw = np.random.Generator

LEVELS = {1: 33.0, 2: 30.0, 3: 27.0, 4: 24.0, 5: 21.0}
"""TID2013's levels, and the PSNR in dB over the three colours that each stands for."""

NEAR = 1.0
"""A distortion that comes no nearer to its PSNR than this many dB is left out: coders have steps."""

CLOSE = 0.05
"""Where the search ends, in dB."""

STEPS = 12


def psnr(picture: Picture, other: Picture) -> float:
    """Peak signal-to-noise ratio over all three colours, in dB."""
    return float(10.0 * np.log10(255.0**2 / max(1e-9, float(np.mean((picture - other) ** 2)))))


def _from_ycc(ycc: Picture) -> Picture:
    y, cb, cr = (ycc[..., index] for index in range(3))
    return np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1)


def _to_ycc(rgb: Picture) -> Picture:
    y = rgb @ np.array([0.299, 0.587, 0.114])
    return np.stack([y, (rgb[..., 2] - y) / 1.772, (rgb[..., 0] - y) / 1.402], -1)


def _white(picture: Picture, draw: Draw) -> Picture:
    return draw.standard_normal(picture.shape)


def additive_noise(picture: Picture, knob: float, draw: Draw) -> Picture:
    """Independent in each colour."""
    return picture + 64 * knob * _white(picture, draw)


def color_noise(picture: Picture, knob: float, draw: Draw) -> Picture:
    """Three times as strong in both colour differences as in the luminance."""
    return picture + _from_ycc(64 * knob * _white(picture, draw) * np.array([1.0, 3.0, 3.0]))


def correlated_noise(picture: Picture, knob: float, draw: Draw) -> Picture:
    """White noise behind a mean of 3 by 3 pixels."""
    from scipy.ndimage import uniform_filter

    return picture + 192 * knob * uniform_filter(_white(picture, draw), (3, 3, 1), mode="wrap")


def high_frequency_noise(picture: Picture, knob: float, draw: Draw) -> Picture:
    """White noise without the frequencies below half of the highest."""
    spectrum = np.fft.fft2(_white(picture, draw), axes=(0, 1))
    rows, columns = (np.fft.fftfreq(size) for size in picture.shape[:2])
    spectrum[np.hypot(rows[:, None], columns[None]) < 0.25] = 0
    return picture + 80 * knob * np.fft.ifft2(spectrum, axes=(0, 1)).real


def impulse_noise(picture: Picture, knob: float, draw: Draw) -> Picture:
    """Values of single colours become 0 or 255."""
    place, side = draw.random(picture.shape), draw.random(picture.shape)
    return np.where(place < 0.3 * knob, np.where(side < 0.5, 0.0, 255.0), picture)


def quantization(picture: Picture, knob: float, draw: Draw) -> Picture:
    """A uniform step for all three colours."""
    step = 1 + 127 * knob
    return np.floor(picture / step) * step + step / 2


def gaussian_blur(picture: Picture, knob: float, draw: Draw) -> Picture:
    """The three colours alike."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(picture, (0.3 * 133.0**knob,) * 2 + (0,), mode="nearest")


def _coded(picture: Picture, **options: object) -> Picture:
    buffer = io.BytesIO()
    _image(picture).save(buffer, **options)  # type: ignore[arg-type]
    return np.asarray(Image.open(buffer), np.float64)


def _image(picture: Picture) -> Image.Image:
    return Image.fromarray(np.clip(np.round(picture), 0, 255).astype(np.uint8))


def jpeg(picture: Picture, knob: float, draw: Draw) -> Picture:
    """The baseline coder with halved colour differences."""
    return _coded(picture, format="JPEG", quality=max(1, round(95 - 94 * knob)), subsampling=2)


def jpeg2000(picture: Picture, knob: float, draw: Draw) -> Picture:
    """The irreversible coder of OpenJPEG, one layer."""
    rate = 2.0 * 2000.0**knob
    return _coded(picture, format="JPEG2000", quality_mode="rates", quality_layers=[rate], irreversible=True)


def contrast(picture: Picture, knob: float, draw: Draw) -> Picture:
    """Less of it around the mean luminance."""
    mean = _to_ycc(picture)[..., 0].mean()
    return mean + (1 - knob) * (picture - mean)


def more_contrast(picture: Picture, knob: float, draw: Draw) -> Picture:
    """More of it: people give the levels 2 and 4 higher scores than level 1, which less contrast would not get."""
    mean = _to_ycc(picture)[..., 0].mean()
    return mean + (1 + 3 * knob) * (picture - mean)


def saturation(picture: Picture, knob: float, draw: Draw) -> Picture:
    """Colours go to gray, and beyond it where that is not far enough."""
    return _from_ycc(_to_ycc(picture) * np.array([1.0, 1 - 2 * knob, 1 - 2 * knob]))


def multiplicative_noise(picture: Picture, knob: float, draw: Draw) -> Picture:
    """Its deviation follows the value."""
    return picture * (1 + knob * _white(picture, draw))


def dither(picture: Picture, knob: float, draw: Draw) -> Picture:
    """A palette made for the picture, spread by Floyd and Steinberg."""
    image, colors = _image(picture), round(256 * (2 / 256) ** knob)
    palette = image.quantize(colors, method=Image.Quantize.MEDIANCUT)
    return np.asarray(image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).convert("RGB"), np.float64)


def aberration(picture: Picture, knob: float, draw: Draw) -> Picture:
    """Red and blue move apart along the rows."""
    from scipy.ndimage import shift

    moved = [
        shift(picture[..., index], (0, 16 * knob * way), order=1, mode="nearest") for index, way in ((0, 1), (2, -1))
    ]
    return np.stack([moved[0], picture[..., 1], moved[1]], -1)


@dataclass(frozen=True)
class Distortion:
    """A type of TID2013: its number there, its name, and what makes it."""

    number: int
    name: str
    apply: Callable[[Picture, float, Draw], Picture]
    even: Callable[[Picture, float, Draw], Picture] | None = None

    def at(self, level: int) -> Callable[[Picture, float, Draw], Picture]:
        """What makes it at a level: contrast falls at odd levels and rises at even ones."""
        return self.even if self.even and level % 2 == 0 else self.apply


DISTORTIONS: Mapping[int, Distortion] = {
    item.number: item
    for item in (
        Distortion(1, "additive noise", additive_noise),
        Distortion(2, "noise in colours", color_noise),
        Distortion(3, "correlated noise", correlated_noise),
        Distortion(5, "high-frequency noise", high_frequency_noise),
        Distortion(6, "impulse noise", impulse_noise),
        Distortion(7, "quantization", quantization),
        Distortion(8, "Gaussian blur", gaussian_blur),
        Distortion(10, "JPEG", jpeg),
        Distortion(11, "JPEG 2000", jpeg2000),
        Distortion(17, "contrast", contrast, more_contrast),
        Distortion(18, "saturation", saturation),
        Distortion(19, "multiplicative noise", multiplicative_noise),
        Distortion(22, "palette, dithered", dither),
        Distortion(23, "chromatic aberration", aberration),
    )
}
"""The types that are rebuilt, by their number in TID2013."""


def rebuild(picture: Picture, distortion: Distortion, level: int, seed: int = 0) -> Picture | None:
    """Distorts a picture to the PSNR of a level; None where the knob comes no nearer than :data:`NEAR`.

    The same noise is drawn at every turn of the knob, so that halving finds the place.
    """
    goal, apply = LEVELS[level], distortion.at(level)

    def turned(knob: float) -> Picture:
        made = apply(picture, knob, np.random.default_rng((seed, distortion.number, level)))
        return np.clip(np.round(made), 0.0, 255.0)

    low, high = 0.0, 1.0
    best, off = picture, float("inf")
    for _ in range(STEPS):
        middle = (low + high) / 2
        made = turned(middle)
        found = psnr(made, picture)
        if abs(found - goal) < off:
            best, off = made, abs(found - goal)
        if off < CLOSE or high - low < 1e-3:
            break
        low, high = (middle, high) if found > goal else (low, middle)
    return best if off <= NEAR else None
