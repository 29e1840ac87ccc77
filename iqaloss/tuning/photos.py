"""Patches of photographs and of their low-quality versions: a pure function of the seed, the step and the place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.utils.data import DataLoader, Dataset

from iqaloss.data.folders import walk_images
from iqaloss.data.images import open_image, to_bytes_tensor
from iqaloss.training.engine.sampling import mixed_seed
from iqaloss.tuning.degradations import Degradation

Pair = tuple[Tensor, Tensor]
"""Input and true image."""

KEPT_BYTES = 1 << 30
"""Most bytes of decoded photographs that a process keeps."""

SHOWN = 4
"""Most photographs that are held out for the report."""


@dataclass(frozen=True)
class Photo:
    """A photograph, and its low-quality version where there is a file of it."""

    truth: Path
    input: Path | None = None


@dataclass(frozen=True)
class Photos:
    """Those that are learned from, and those that are held out."""

    learned: tuple[Photo, ...]
    held_out: tuple[Photo, ...]


def find_photos(folder: str | Path, inputs: str | Path | None = None) -> Photos:
    """Finds the photographs of a folder, or of two folders with the same names in them.

    Args:
        folder: True photographs; folders in it are searched too.
        inputs: Their low-quality versions, which may have another suffix.

    Returns:
        All of them; of four or more, an eighth, up to :data:`SHOWN`, is held out, spread evenly by name.

    Raises:
        FileNotFoundError: If there is no such folder or no image in it.
        ValueError: If an image has no low-quality version.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"no folder of photographs at {root}")
    paths = list(walk_images(root))
    if not paths:
        raise FileNotFoundError(f"{root} holds no images")
    photos = [Photo(path) for path in paths] if inputs is None else _paired(paths, root, Path(inputs))
    count = min(SHOWN, max(1, len(photos) // 8)) if len(photos) >= 4 else 0
    chosen = {index * len(photos) // count for index in range(count)}
    learned = tuple(photo for index, photo in enumerate(photos) if index not in chosen)
    held_out = tuple(photos[index] for index in sorted(chosen))
    return Photos(learned, held_out or (photos[0],))


def _paired(paths: Sequence[Path], root: Path, inputs: Path) -> list[Photo]:
    if not inputs.is_dir():
        raise FileNotFoundError(f"no folder of inputs at {inputs}")
    by_name = {path.relative_to(inputs).with_suffix("").as_posix(): path for path in walk_images(inputs)}
    photos = []
    for path in paths:
        name = path.relative_to(root).with_suffix("").as_posix()
        if name not in by_name:
            raise ValueError(f"{inputs} holds no low-quality version of {name}: names must be the same in both folders")
        photos.append(Photo(path, by_name[name]))
    return photos


def whole_pair(photo: Photo, degradation: Degradation, scale: int, most: int, seed: int) -> Pair:
    """Returns the middle of a photograph, up to ``most`` pixels square, and its input."""
    truth, given = decoded(photo, scale)
    height, width = (min(most, side) // scale * scale for side in truth.shape[1:])
    top, left = ((side - kept) // 2 // scale * scale for side, kept in zip(truth.shape[1:], (height, width)))
    return _pair(truth, given, (top, left, height, width), degradation, scale, Generator().manual_seed(seed))


def decoded(photo: Photo, scale: int) -> tuple[Tensor, Tensor | None]:
    """Reads a photograph, and its low-quality version where there is one, as bytes ``[3, H, W]``.

    Raises:
        ValueError: If a file cannot be read, or the sizes of the two do not fit the network's scale.
    """
    truth = to_bytes_tensor(open_image(photo.truth))
    if photo.input is None:
        return truth, None
    given = to_bytes_tensor(open_image(photo.input))
    want = tuple(scale * side for side in given.shape[1:])
    if want != tuple(truth.shape[1:]):
        raise ValueError(
            f"the network enlarges {scale} times: {photo.input} of {list(given.shape[1:])} asks for a true image of "
            f"{list(want)}, and {photo.truth} has {list(truth.shape[1:])}"
        )
    return truth, given


def _pair(
    truth: Tensor, given: Tensor | None, box: tuple[int, int, int, int], degradation: Degradation, scale: int,
    generator: Generator,
) -> Pair:  # fmt: skip
    top, left, height, width = box
    patch = truth[:, top : top + height, left : left + width].float() / 255.0
    if given is None:
        return degradation(patch, scale, generator), patch
    small = [side // scale for side in box]
    cut = given[:, small[0] : small[0] + small[2], small[1] : small[1] + small[3]]
    return cut.float() / 255.0, patch


@dataclass
class Patches(Dataset[Pair]):
    """Patches that are asked for by step and place in the batch.

    Attributes:
        photos: What is learned from.
        degradation: What makes the inputs.
        scale: Of the network.
        side: Of the true patches.
        seed: Of places, flips and degradations.
    """

    photos: Sequence[Photo]
    degradation: Degradation
    scale: int
    side: int
    seed: int
    _kept: dict[Photo, tuple[Tensor, Tensor | None]] = field(default_factory=dict, repr=False)
    _bytes: int = 0

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, place: tuple[int, int]) -> Pair:
        """Returns input and true patch of a place in a step's batch."""
        generator = Generator().manual_seed(mixed_seed(self.seed, *place))

        def draw(below: int) -> int:
            return int(torch.randint(below, (), generator=generator))

        photo = self.photos[draw(len(self.photos))]
        truth, given = self._decoded(photo)
        if min(truth.shape[1:]) < self.side:
            raise ValueError(f"{photo.truth} is smaller than the patches of {self.side} pixels: give a smaller --patch")
        top, left = (draw((extent - self.side) // self.scale + 1) * self.scale for extent in truth.shape[1:])
        small, patch = _pair(
            truth, given, (top, left, self.side, self.side), self.degradation, self.scale, generator
        )  # fmt: skip
        axes = [axis for axis in (1, 2) if draw(2)]
        return small.flip(axes).contiguous(), patch.flip(axes).contiguous()

    def _decoded(self, photo: Photo) -> tuple[Tensor, Tensor | None]:
        if photo in self._kept:
            return self._kept[photo]
        found = decoded(photo, self.scale)
        size = sum(image.numel() for image in found if image is not None)
        if self._bytes + size <= KEPT_BYTES:
            self._kept[photo] = found
            self._bytes += size
        return found


@dataclass(frozen=True)
class _Places:
    """The places of one process's share of each step's batch, from a step on."""

    first: int
    steps: int
    batch: int
    rank: int
    ranks: int

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        share = self.batch // self.ranks
        for step in range(self.first, self.steps):
            yield [(step, self.rank * share + number) for number in range(share)]

    def __len__(self) -> int:
        return self.steps - self.first


def batches(
    patches: Patches, first: int, steps: int, batch: int, *, rank: int = 0, ranks: int = 1, workers: int = 0
) -> Iterator[Pair]:
    """Yields one process's batches from a step on; the same ones wherever a training is resumed.

    Raises:
        ValueError: If the processes do not divide the batch.
    """
    if batch % ranks:
        raise ValueError(f"the batch size {batch} is that of all processes together: it must divide by {ranks}")
    loader: DataLoader[Pair] = DataLoader(
        patches,
        batch_sampler=_Places(first, steps, batch, rank, ranks),  # type: ignore[arg-type]
        num_workers=workers,
        generator=Generator(),
    )
    return iter(loader)
