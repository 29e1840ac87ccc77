"""Photographs become pairs of true and x4 smaller images, for training and held out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from examples.demo.plan import SCALE
from iqaloss._errors import missing_package

TRAINING = ("brick", "camera", "coins", "grass", "gravel", "motorcycle_left", "motorcycle_right", "rocket")
"""Photographs inside the scikit-image package that the network learns from; the motorcycles are a stereo pair."""

HELD_OUT = ("astronaut", "chelsea", "coffee")
"""Other photographs inside it, which no training sees."""

TILE = 240
"""Side of the training tiles: small files that are read fast, with room for patches at several places."""

LEAST = 192
"""Shorter sides of photographs must be at least this: the side of the patches."""

LONGEST = 1024
"""Longer sides of a user's photographs are reduced to this; it also removes compression artefacts."""

SHOWN = 512
"""Held-out photographs are cropped to at most this side, to bound the time."""

MOST = 60
"""Of a larger folder, this many photographs are taken, evenly spaced by name."""


@dataclass(frozen=True)
class Photos:
    """Folders of pairs, each with ``gt`` and ``lq`` inside.

    Attributes:
        train: Training tiles.
        held_out: Held-out photographs.
        digest: Changes with the photographs.
    """

    train: Path
    held_out: Path
    digest: str


def find_photos(folder: Path | None) -> tuple[list[Path], list[Path]]:
    """Returns the training and the held-out photographs.

    Args:
        folder: The user's photographs, of which every fourth is held out; None takes those of scikit-image.

    Raises:
        ValueError: If there is no such folder or it holds fewer than two photographs.
    """
    if folder is None:
        return _installed()
    if not folder.is_dir():
        raise ValueError(f"no folder at {folder}")
    readable = {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in readable and _large_enough(path))
    if len(found) < 2:
        raise ValueError(
            f"{folder} holds {len(found)} photograph(s) with sides of at least {LEAST} pixels; at least two are "
            "needed, one to learn from and one held out"
        )
    taken = found if len(found) <= MOST else [found[i * len(found) // MOST] for i in range(MOST)]
    held_out = taken[::4][:4]
    return [path for path in taken if path not in held_out], held_out


def _installed() -> tuple[list[Path], list[Path]]:
    try:
        import skimage
    except ImportError:
        raise missing_package("scikit-image", "plot", "the demo's photographs") from None
    folder = Path(skimage.__file__).parent / "data"
    names = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix in (".png", ".jpg")}
    missing = [name for name in TRAINING + HELD_OUT if name not in names]
    if missing:
        raise ValueError(f"{folder} lacks {', '.join(missing)}; pass a folder with photographs of yours")
    return [names[name] for name in TRAINING], [names[name] for name in HELD_OUT]


def _large_enough(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return min(image.size) >= LEAST
    except (UnidentifiedImageError, OSError):
        return False


def prepare(training: Sequence[Path], held_out: Sequence[Path], folder: Path) -> Photos:
    """Writes the pairs, unless they are there from an earlier run with the same photographs.

    Args:
        training: Photographs to cut into tiles.
        held_out: Photographs that are kept whole, up to :data:`SHOWN` pixels.
        folder: Where to write.
    """
    digest = hashlib.sha256()
    for path in (*training, *held_out):
        digest.update(path.name.encode() + path.read_bytes())
    name = digest.hexdigest()[:12]
    photos = Photos(folder / name / "train", folder / name / "held_out", name)
    finished = folder / name / "finished"
    if not finished.exists():
        for index, path in enumerate(training):
            for place, tile in tiles(_read(path), TILE):
                _write_pair(tile, photos.train, f"{index:02d}_{path.stem}_{place}")
        for path in held_out:
            _write_pair(_center(_read(path), SHOWN), photos.held_out, path.stem)
        finished.touch()
    return photos


def _read(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
    return image


def tiles(image: Image.Image, side: int) -> list[tuple[str, Image.Image]]:
    """Cuts an image into tiles, named by their places, that overlap as little as covering all of it takes.

    Example:
        >>> [place for place, tile in tiles(Image.new("RGB", (300, 200)), 200)]
        ['0_0', '0_100']
    """
    wide, high = min(side, image.width), min(side, image.height)
    return [
        (f"{top}_{left}", image.crop((left, top, left + wide, top + high)))
        for top in _starts(image.height, high)
        for left in _starts(image.width, wide)
    ]


def _starts(length: int, side: int) -> list[int]:
    count = -(-length // side)
    return [round(i * (length - side) / max(1, count - 1)) for i in range(count)]


def _center(image: Image.Image, most: int) -> Image.Image:
    """Cuts out the centre, with sides that the scale divides."""
    width, height = (min(side, most) // SCALE * SCALE for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _write_pair(image: Image.Image, folder: Path, name: str) -> None:
    image = _center(image, max(image.size))
    small = image.resize((image.width // SCALE, image.height // SCALE), Image.Resampling.BICUBIC)
    for kind, pixels in (("gt", image), ("lq", small)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        pixels.save(folder / kind / f"{name}.png")
