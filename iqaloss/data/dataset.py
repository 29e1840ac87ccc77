"""A manifest as a torch dataset: decoded, cropped and flipped images with their normalised scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from iqaloss._errors import check_choice, check_number
from iqaloss.data.images import load_image, open_image, to_tensor
from iqaloss.data.manifest import SCORE, Manifest

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ManifestDataset", "Transform", "collate", "load_image", "open_image"]

SMALL = ("error", "zero", "resize")
RESAMPLE = ("bilinear", "bicubic")
_LARGEST = 2**20


@dataclass(frozen=True)
class Transform:
    """What happens to an image between the file and the batch, as data; the steps run in this order.

    Attributes:
        resize: New length of the shorter side, or exact (height, width); None keeps the size.
        crop: Side of a square crop, or (height, width); None takes the whole image.
        random: Whether crops are drawn at random; else the one in the middle.
        crops: Number of crops; with more than one the image becomes ``[crops, 3, H, W]``.
        flip: Probability of a left-right flip, drawn once an image.
        small: What to do with an image smaller than the crop: ``"error"``, ``"zero"`` (black border, as
            torchvision's centre crop) or ``"resize"`` (enlarge until it fits).
        resample: How sizes change, ``"bilinear"`` or ``"bicubic"``, both with antialiasing.

    Example:
        >>> Transform(crop=224, random=True, flip=0.5).crop
        224
    """

    resize: int | tuple[int, int] | None = None
    crop: int | tuple[int, int] | None = None
    random: bool = False
    crops: int = 1
    flip: float = 0.0
    small: str = "error"
    resample: str = "bilinear"

    def __post_init__(self) -> None:
        check_choice("small", self.small, SMALL)
        check_choice("resample", self.resample, RESAMPLE)
        for name, sides in (("resize", self.resize), ("crop", self.crop)):
            for side in sides if isinstance(sides, tuple) else (sides,):
                check_number(name, side, least=1, most=_LARGEST)
        if not 0.0 <= self.flip <= 1.0:
            raise ValueError(f"flip is a probability in [0, 1], got {self.flip}")
        if not 1 <= self.crops <= _LARGEST or (self.crops > 1 and (self.crop is None or not self.random)):
            raise ValueError(f"crops={self.crops}: several crops need crop=... and random=True")

    def __call__(self, images: Sequence[Image], generator: torch.Generator) -> list[Tensor]:
        """Applies one draw of the transform to images of equal size, such as an image and its reference."""
        flip = bool(self.flip) and float(torch.rand((), generator=generator)) < self.flip
        ready = [self._fit(_resize(image, self.resize, self.resample)) for image in images]
        width, height = ready[0].size
        if self.crop is None:
            boxes = [(0, 0, width, height)]
        else:
            boxes = [self._box(width, height, generator) for _ in range(self.crops)]
        out = []
        for image in ready:
            crops = [to_tensor(image.crop(box)) for box in boxes]
            stacked = crops[0] if self.crops == 1 else torch.stack(crops)
            out.append(stacked.flip(-1) if flip else stacked)
        return out

    def problem(self, height: int, width: int, least: int = 1) -> str | None:
        """Returns why an image of this size cannot be used, or None.

        Args:
            height: Height of the image.
            width: Width of the image.
            least: The smallest side that the result may have.

        Example:
            >>> Transform(crop=224).problem(100, 300)
            'an image of 100x300 pixels is smaller than the crop 224x224'
        """
        if self.resize is not None:
            height, width = _resized(height, width, self.resize)
        if self.crop is not None:
            rows, columns = self._size()
            if self.small == "error" and (height < rows or width < columns):
                return f"an image of {height}x{width} pixels is smaller than the crop {rows}x{columns}"
            height, width = rows, columns
        return None if min(height, width) >= least else f"{height}x{width} pixels, sides of {least} are needed"

    def _size(self) -> tuple[int, int]:
        crop = self.crop
        return (crop, crop) if isinstance(crop, int) else (crop or (0, 0))

    def _fit(self, image: Image) -> Image:
        height, width = self._size()
        if image.height >= height and image.width >= width:
            return image
        if self.small == "error":
            raise ValueError(
                f"an image of {image.height}x{image.width} pixels is smaller than the crop {height}x{width}"
            )
        if self.small == "resize":
            factor = max(height / image.height, width / image.width)
            size = (max(height, round(image.height * factor)), max(width, round(image.width * factor)))
            return _resize(image, size, self.resample)
        left, top = max(0, width - image.width) // 2, max(0, height - image.height) // 2
        # A crop box outside the image is filled with black.
        return image.crop((-left, -top, max(width, image.width) - left, max(height, image.height) - top))

    def _box(self, width: int, height: int, generator: torch.Generator) -> tuple[int, int, int, int]:
        crop_height, crop_width = self._size()
        top, left = (height - crop_height) // 2, (width - crop_width) // 2
        if self.random:
            top = int(torch.randint(height - crop_height + 1, (), generator=generator))
            left = int(torch.randint(width - crop_width + 1, (), generator=generator))
        return left, top, left + crop_width, top + crop_height


def _resize(image: Image, size: int | tuple[int, int] | None, resample: str) -> Image:
    from PIL.Image import Resampling

    if size is None:
        return image
    height, width = _resized(image.height, image.width, size)
    return image if image.size == (width, height) else image.resize((width, height), Resampling[resample.upper()])


def _resized(height: int, width: int, size: int | tuple[int, int]) -> tuple[int, int]:
    if not isinstance(size, int):
        return size
    shorter = min(height, width)
    return max(1, round(height * size / shorter)), max(1, round(width * size / shorter))


class ManifestDataset(Dataset[dict[str, Any]]):
    """The images of a manifest with their normalised scores.

    An item is a dict: ``image`` ``[3, H, W]`` float in [0, 1] (``[crops, 3, H, W]`` for several crops), ``score``
    (scalar, [0, 1], higher is better), ``dimensions`` ``[D]`` in the order of ``targets``, ``index``; and where the
    manifest has them ``std``, ``prompt``, ``reference`` (cropped like the image). With ``versions`` there is one more
    entry for each, drawn on its own.

    Every draw is a function of (seed, epoch, index) alone, so that a run that stopped goes on with the same crops
    whatever the number of workers or ranks; call :meth:`set_epoch` before each epoch.

    Args:
        manifest: The images and scores.
        transform: What happens to an image.
        targets: Names of the dimensions to return; by default all of the manifest's that every row has.
        versions: Further versions of the image by name, such as a resized one beside a crop.
        with_reference: Whether to load reference images.
        seed: Seed of crops and flips.

    Example:
        >>> ManifestDataset(manifest, Transform(crop=224, random=True))[0]["image"].shape  # doctest: +SKIP
        torch.Size([3, 224, 224])
    """

    def __init__(
        self,
        manifest: Manifest,
        transform: Transform | None = None,
        *,
        targets: Sequence[str] | None = None,
        versions: Mapping[str, Transform] | None = None,
        with_reference: bool = False,
        seed: int = 0,
    ) -> None:
        self.manifest = manifest
        self.transform = transform or Transform()
        self.versions = dict(versions or {})
        whole = [name for name, values in manifest.dimensions.items() if np.isfinite(values).all()]
        self.targets = tuple(whole if targets is None else targets)
        self.seed = seed
        if with_reference and manifest.references is None:
            raise ValueError(f"{manifest.name} has no reference images")
        self.with_reference = with_reference
        self._score = torch.from_numpy(manifest.target(SCORE).astype(np.float32))
        columns = [manifest.with_target(name).target(name) for name in self.targets]
        self._dimensions = torch.from_numpy(np.stack(columns, 1).astype(np.float32)) if columns else None
        stds = manifest.target_stds()
        self._stds = None if stds is None else torch.from_numpy(stds.astype(np.float32))
        # In shared memory, so that workers which live on see the next epoch.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __len__(self) -> int:
        return len(self.manifest)

    def set_epoch(self, epoch: int) -> None:
        """Sets the epoch that crops and flips are drawn for."""
        self._epoch.fill_(epoch)

    def generator(self, index: int, version: int = 0) -> torch.Generator:
        """Returns the random generator of an item, or of one of its further versions, in the current epoch."""
        words = np.random.SeedSequence([self.seed, int(self._epoch), index, version]).generate_state(2, np.uint32)
        return torch.Generator().manual_seed(int(words[0]) << 31 ^ int(words[1]))

    def __getitem__(self, index: int) -> dict[str, Any]:
        manifest = self.manifest
        image = open_image(manifest.images[index])
        item: dict[str, Any] = {"index": index, "score": self._score[index]}
        pair = [image]
        if self.with_reference and manifest.references is not None:
            reference = manifest.references[index]
            if reference is None:
                raise ValueError(f"{manifest.name}: {manifest.images[index]} has no reference image")
            pair.append(open_image(reference))
        out = self.transform(pair, self.generator(index))
        item["image"] = out[0]
        if len(out) == 2:
            item["reference"] = out[1]
        for number, (name, transform) in enumerate(self.versions.items(), start=1):
            item[name] = transform([image], self.generator(index, number))[0]
        if self._dimensions is not None:
            item["dimensions"] = self._dimensions[index]
        if self._stds is not None:
            item["std"] = self._stds[index]
        if manifest.prompts is not None:
            item["prompt"] = manifest.prompts[index]
        return item


def collate(items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Joins items to a batch; raises ``ValueError`` when their images differ in size.

    Example:
        >>> collate([{"index": 0, "image": torch.zeros(3, 4, 4)}] * 2)["image"].shape
        torch.Size([2, 3, 4, 4])
    """
    from torch.utils.data import default_collate

    sizes = sorted({tuple(item["image"].shape[-2:]) for item in items})
    if len(sizes) > 1:
        shown = ", ".join(f"{height}x{width}" for height, width in sizes[:4])
        raise ValueError(f"images of different sizes in one batch ({shown}): set crop or resize, or a batch size of 1")
    return dict(default_collate([dict(item) for item in items]))
