"""Clean photographs, and what a scorer says of versions of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from iqaloss.data.images import open_image, to_tensor
from iqaloss.data.sources import Folder
from iqaloss.scorers.base import Request, Scorer

Report = Callable[..., None]
"""Is told what is measured, how many items are done, and how many there are (:class:`iqaloss._progress.Stages`)."""

SIDE = 256
"""Side of the centre squares that published figures are measured on."""

PIXELS = 4_000_000
"""Most pixels that are scored at once."""


def silent(what: str, done: int, total: int) -> None:
    """Reports to nobody."""


def read_pictures(
    folder: str | Path, limit: int | None = None, side: int | None = SIDE, most: int | None = None
) -> list[Tensor]:
    """Reads photographs, in the order of their names, as float RGB ``[3, H, W]`` in [0, 1].

    Args:
        folder: Folder of images; folders in it are read too.
        limit: Most pictures to read; all by default.
        side: Side of the centre squares to cut out; smaller photographs are left out. None takes them whole.
        most: Takes the middles, up to this side, of photographs that are larger than ``side``, in place of squares.

    Raises:
        FileNotFoundError: If there is no such folder, or no picture in it that is large enough.
        ValueError: If an image cannot be read.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"no such folder of clean photographs: {root}")
    pictures: list[Tensor] = []
    for item in Folder(root):
        if len(pictures) == limit:
            break
        image = to_tensor(open_image(item.read(), item.key))
        if side is None:
            pictures.append(image)
        elif min(image.shape[1:]) >= side:
            height, width = (min(extent, most or side) for extent in image.shape[1:])
            pictures.append(center(image, height, width))
    if not pictures:
        size = "" if side is None else f" with sides of at least {side} pixels"
        raise FileNotFoundError(f"{root} holds no picture{size}")
    return pictures


def center(image: Tensor, height: int, width: int) -> Tensor:
    """Returns the middle ``[3, height, width]`` of an image.

    Example:
        >>> center(torch.rand(3, 40, 50), 32, 16).shape
        torch.Size([3, 32, 16])
    """
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    return image[:, top : top + height, left : left + width]


@torch.no_grad()
def score_versions(scorer: Scorer, images: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Scores versions of one picture; returns overall scores ``[N]`` and dimensions ``[N, D]`` on the CPU.

    Args:
        scorer: The scorer, in eval mode, on any device.
        images: ``[3, H, W]`` each, of one size.

    Example:
        >>> from iqaloss.scorers.factory import create_tiny
        >>> overall, dimensions = score_versions(create_tiny("mdiqa-mobile"), [torch.rand(3, 64, 64)] * 2)
        >>> overall.shape, dimensions.shape
        (torch.Size([2]), torch.Size([2, 5]))
    """
    at_once = max(1, PIXELS // images[0][0].numel())
    request = Request(score=True, dimensions=None)
    overall, dimensions = [], []
    for start in range(0, len(images), at_once):
        batch = torch.stack(list(images[start : start + at_once])).to(scorer.mean.device)
        out = scorer(batch, request)
        overall.append(out.score.float().cpu())
        found = [out.dimensions[name].float().cpu() for name in scorer.dimension_names]
        dimensions.append(torch.stack(found, dim=1) if found else overall[-1].new_zeros(len(batch), 0))
    return torch.cat(overall), torch.cat(dimensions)
