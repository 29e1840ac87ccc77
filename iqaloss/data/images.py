"""Image files to tensors, and tensors to images."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    "HEIF": (".heic", ".heif"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "JPEG2000": (".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "QOI": (".qoi",),
    "SGI": (".sgi",),
    "TGA": (".tga",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""The formats that are read, each with its suffixes, where this Pillow has them (HEIF where pillow-heif is installed).

They hold pixels and nothing else: a PostScript file under the name of a photograph would run Ghostscript.
"""


def readable_formats() -> tuple[str, ...]:
    """Returns the names of :data:`FORMATS` that this Pillow reads."""
    from PIL import Image

    _load_plugins()
    return tuple(name for name in FORMATS if name in Image.OPEN)


@functools.cache
def _load_plugins() -> None:
    from PIL import Image

    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()


def is_picture(name: str) -> bool:
    """Whether a file is taken for an image by its name; what macOS writes beside one (``._x.png``) is not.

    Example:
        >>> is_picture("a/x.JPG"), is_picture("a/._x.jpg"), is_picture("a/x.json")
        (True, False, False)
    """
    base = name.replace("\\", "/").rpartition("/")[2].lower()
    suffixes = tuple(suffix for kind in readable_formats() for suffix in FORMATS[kind])
    return base.endswith(suffixes) and not base.startswith("._")


def open_image(content: str | Path | bytes, name: str | None = None) -> Image:
    """Decodes an image to 8-bit RGB, turned as its camera says.

    Of 16-bit pictures the upper 8 bits are taken, in grey as in colour; floating point is read in [0, 1]. A
    transparent picture is laid on white, so that what lies under full transparency has no say. Of an animation the
    first frame is read.

    Args:
        content: A file, or its bytes.
        name: What to call it in messages; the file's name by default.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read as an image, or has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``.
    """
    from PIL import ImageOps

    try:
        with opened(content) as image:
            return _eight_bits(ImageOps.exif_transpose(image), image)
    except FileNotFoundError:
        raise
    except Exception as error:
        label = name or ("image" if isinstance(content, bytes) else str(content))
        raise ValueError(f"{label} is no image that can be read: {error}") from error


@contextlib.contextmanager
def opened(content: str | Path | bytes) -> Iterator[Image]:
    """Opens an image, of which only the header is read at first.

    Raises:
        ValueError: If it has more pixels than ``PIL.Image.MAX_IMAGE_PIXELS``, or is no plain file.
        OSError: If it is not there or in no format out of :data:`FORMATS`.
    """
    from PIL import Image

    if not isinstance(content, bytes):
        path = Path(content)
        if path.exists() and not path.is_file():  # a pipe would wait for ever
            raise ValueError("it is no file")
    with Image.open(
        io.BytesIO(content) if isinstance(content, bytes) else content, formats=readable_formats()
    ) as image:
        pixels, most = image.width * image.height, Image.MAX_IMAGE_PIXELS
        if most is not None and pixels > most:
            raise ValueError(f"{image.width}x{image.height} pixels are more than the {most} of Pillow's limit")
        yield image


def size_of(path: Path) -> tuple[int, int]:
    """Returns height and width of an image, turned as its camera says, without decoding it."""
    with opened(path) as image:
        turned = image.getexif().get(0x0112, 1) >= 5
        return (image.width, image.height) if turned else (image.height, image.width)


def _eight_bits(image: Image, source: Image) -> Image:
    """Returns decoded pixels of any mode as RGB; ``source`` knows the file's format.

    Raises:
        ValueError: If the file does not say what its numbers span.
    """
    if image.mode == "F":
        pixels = np.asarray(image, np.float32)
        if not (np.isfinite(pixels).all() and pixels.min() >= 0.0 and pixels.max() <= 1.0):
            raise ValueError(f"floating-point pixels from {pixels.min():g} to {pixels.max():g}; need 0 to 1")
        return _gray(np.rint(pixels * 255.0))
    if image.mode.startswith("I;16"):
        bits = getattr(source, "tag_v2", {}).get(258, (16,))[0]  # a TIFF file may use 12 of the 16
        return _gray(np.asarray(image) >> (int(bits) - 8))
    if image.mode == "I":
        if source.format not in ("PNG", "PPM", "JPEG2000"):  # whose integers have 16 bits
            raise ValueError(f"{source.format} of 32-bit integers, which do not say what white is; need 8 or 16 bits")
        return _gray(np.asarray(image) >> 8)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB")


def _gray(pixels: np.ndarray) -> Image:
    from PIL import Image

    return Image.fromarray(pixels.astype(np.uint8)).convert("RGB")


def _on_white(image: Image) -> Image:
    from PIL import Image

    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    ground.alpha_composite(layer)
    return ground.convert("RGB")


def to_bytes_tensor(image: Image) -> Tensor:
    """Returns an 8-bit RGB image as uint8 ``[3, H, W]``."""
    pixels = torch.from_numpy(np.asarray(image, np.uint8).copy())
    return rearrange(pixels, "row column channel -> channel row column").contiguous()


def to_tensor(image: Image) -> Tensor:
    """Returns an 8-bit RGB image as float ``[3, H, W]`` in ``[0, 1]``."""
    return to_bytes_tensor(image).float() / 255.0


def to_image(image: Tensor) -> Image:
    """Returns float RGB ``[3, H, W]`` in ``[0, 1]`` as an 8-bit image, as a file would hold it.

    Example:
        >>> to_image(torch.ones(3, 4, 8)).size
        (8, 4)
    """
    from PIL import Image

    pixels = rearrange(image.clamp(0.0, 1.0) * 255.0, "channel row column -> row column channel")
    return Image.fromarray(pixels.round().byte().numpy())


def load_image(path: str | Path) -> Tensor:
    """Decodes an image file to float RGB ``[3, H, W]`` in ``[0, 1]``."""
    return to_tensor(open_image(path))
