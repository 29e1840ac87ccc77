"""Which pictures are worth a vote: the MAD competition of methods (Eq. 1 of the SR-IQA paper)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iqaloss._files import replacing
from iqaloss.data.images import load_image
from iqaloss.data.sources import Folder
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.scorers.base import ScoreOutput

PairDistances = Callable[[Tensor], Tensor]  # the methods' outputs for one picture [M, 3, H, W] -> [M (M - 1) / 2]
Describe = Callable[[Tensor], Tensor]  # one picture [1, 3, H, W] -> a vector of what it shows

PART = 64  # pictures in a file of the cache, and those whose semantic distances are computed together


@dataclass(frozen=True)
class Outputs:
    """Outputs of methods for common pictures; ``files``: the methods' for each picture, then the methods' input."""

    methods: tuple[str, ...]
    names: tuple[str, ...]
    files: tuple[tuple[str, ...], ...]


def find_outputs(folders: Mapping[str, str | Path], inputs: str | Path | None = None) -> Outputs:
    """Finds the outputs that belong together: files of one name, whatever their suffix, in the methods' folders.

    Without a folder of the pictures that the methods were given, the first method's outputs stand in for them.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("A", "B"):
        ...     (root / name).mkdir()
        ...     _ = (root / name / "x.png").write_bytes(b"")
        >>> find_outputs({"A": root / "A", "B": root / "B"}).names
        ('x',)
    """
    if len(folders) < 2:
        raise ValueError(f"need the outputs of at least two methods, got {', '.join(folders) or 'none'}")
    roots = [Path(root) for root in (*folders.values(), inputs or next(iter(folders.values())))]
    found: list[dict[str, str]] = []
    for root in roots:
        if not root.is_dir():
            raise FileNotFoundError(f"no folder of images at {root}")
        found.append({PurePosixPath(item.key).with_suffix("").as_posix(): item.key for item in Folder(root)})
        lacking, extra = set(found[0]) - set(found[-1]), set(found[-1]) - set(found[0])
        if lacking or (extra and len(found) < len(roots)) or not found[0]:
            told = f"one has {min(lacking or extra)}" if lacking or extra else "there are none"
            raise ValueError(f"{roots[0]} and {root} must hold the same images: {told}")
    names = tuple(sorted(found[0]))
    files = tuple(tuple(str(root / keys[name]) for root, keys in zip(roots, found)) for name in names)
    return Outputs(tuple(folders), names, files)


def by_features(loss: IQALoss, micro_batch: int = 4) -> PairDistances:
    """Distances by an FR loss of ours: every output goes through the network once, not once for each pair.

    Example:
        >>> from iqaloss.scorers.factory import create_tiny
        >>> loss = IQALoss(create_tiny("mdiqa-mobile"), "fr")
        >>> by_features(loss)(torch.rand(3, 3, 64, 64)).shape
        torch.Size([3])
    """

    def distances(outputs: Tensor) -> Tensor:
        encoded = ((len(part), loss.encode(part).features) for part in outputs.split(micro_batch))
        each = [{name: maps[k : k + 1] for name, maps in part.items()} for size, part in encoded for k in range(size)]
        found = (loss.fr_terms(ScoreOutput(features=first), second) for first, second in combinations(each, 2))
        return torch.stack([torch.stack(list(terms.values())).sum() for terms in found])

    return distances


def by_pairs(distance: Callable[[Tensor, Tensor], Tensor], micro_batch: int = 4) -> PairDistances:
    """Distances by a function of two batches that gives ``[B]``, such as a metric with ``reduction="none"``.

    Example:
        >>> by_pairs(lambda a, b: (a - b).abs().mean((1, 2, 3)))(torch.zeros(4, 3, 8, 8)).shape
        torch.Size([6])
    """

    def distances(outputs: Tensor) -> Tensor:
        pairs = torch.combinations(torch.arange(len(outputs))).split(micro_batch)
        return torch.cat([distance(outputs[each[:, 0]], outputs[each[:, 1]]) for each in pairs])

    return distances


def describe_by(loss: IQALoss) -> Describe:
    """Describes a picture by a loss's features, averaged over the picture: more of its quality than of its content.

    Example:
        >>> from iqaloss.scorers.factory import create_tiny
        >>> loss = IQALoss(create_tiny("mdiqa-mobile"), "fr")
        >>> describe_by(loss)(torch.rand(1, 3, 64, 64)).ndim
        1
    """
    return lambda image: torch.cat([maps[0].flatten(1).mean(1) for maps in loss.encode(image).features.values()])


@torch.no_grad()
def measure(
    outputs: Outputs, distance: PairDistances, describe: Describe, cache: str | Path, *,
    label: str, device: str = "cpu", progress: Callable[[int], None] = lambda pictures: None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Computes D1 of all pairs of methods ``[N, P]``, as in ``combinations``, and descriptions ``[N, D]``, once.

    The outputs for one picture are in memory at a time; what stays is ``4 (P + D)`` bytes a picture, for P pairs of
    methods and descriptions of length D. Files of the cache are trusted while images and label are the same.

    Args:
        outputs: What :func:`find_outputs` found.
        distance, describe: D1, and the description whose squared difference is D2.
        cache, label: Folder for what was computed, and what it depends on beside the images, such as weights.
        device, progress: Where the images go, and what is told how many more pictures are done.

    Example:
        >>> outputs = find_outputs({"A": "outputs/A", "B": "outputs/B"})  # doctest: +SKIP
        >>> distance = by_pairs(lambda a, b: (a - b).abs().mean((1, 2, 3)))  # doctest: +SKIP
        >>> found = measure(outputs, distance, lambda x: x.mean((0, 2, 3)), "cache", label="L1")  # doctest: +SKIP
    """
    distances, described = [], []
    for start in range(0, len(outputs.names), PART):
        files = outputs.files[start : start + PART]
        path = Path(cache) / f"part-{start // PART:06d}.npz"
        digest = _digest(files, (label, *outputs.methods))
        found: Mapping[str, Any] = np.load(path) if path.is_file() else {}
        if str(found.get("digest")) != digest:
            rows = [_one(each, distance, describe, device) for each in files]
            found = {"distances": np.stack([row[0] for row in rows]), "described": np.stack([row[1] for row in rows])}
            with replacing(path) as temporary:
                np.savez(temporary, digest=np.array(digest), **found)
        distances.append(found["distances"])
        described.append(found["described"])
        progress(len(files))
    return np.concatenate(distances), np.concatenate(described)


def _one(files: tuple[str, ...], distance: PairDistances, describe: Describe, device: str) -> tuple[Any, Any]:
    images = [load_image(file) for file in files[:-1]]
    if other := [file for file, image in zip(files, images) if image.shape != images[0].shape]:
        raise ValueError(f"{files[0]} is {images[0].shape[2]}x{images[0].shape[1]}, {other[0]} is of another size")
    found = distance(torch.stack(images).to(device)), describe(load_image(files[-1])[None].to(device))
    return found[0].float().cpu().numpy(), found[1].float().cpu().numpy()


def _digest(files: tuple[tuple[str, ...], ...], words: tuple[str, ...]) -> str:
    lines = [
        *words,
        *("{0} {1.st_size} {1.st_mtime_ns}".format(file, Path(file).stat()) for each in files for file in each),
    ]
    return hashlib.sha256("\0".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def select(
    outputs: Outputs, distances: NDArray[Any], described: NDArray[Any], count: int = 16, diversity: float = 0.1
) -> Iterator[dict[str, Any]]:
    """Chooses ``count`` pictures for each pair of methods, greedily by the largest ``D1 + diversity * D2`` (Eq. 1).

    D2 is the mean, over what is chosen already, of the mean squared difference of the descriptions. Of equal pictures
    the first by name is taken. In the paper K is 16, lambda 0.1, D1 is DISTS and D2 compares features of VGG16.

    Returns:
        Rows of image, first and second method, order (from 1), distance (D1) and semantic (D2; 0 for the first).

    Example:
        >>> outputs = Outputs(("A", "B"), ("x", "y", "z"), ())
        >>> far, flat = np.array([[0.1], [0.9], [0.5]]), np.zeros((3, 1))
        >>> [row["image"] for row in select(outputs, far, flat, count=2)]
        ['y', 'z']
    """
    if not 1 <= count <= len(outputs.names):
        raise ValueError(f"count must be from 1 to the number of pictures, {len(outputs.names)}, got {count}")
    for pair, (first, second) in enumerate(combinations(outputs.methods, 2)):
        value, semantic = distances[:, pair].astype(np.float64), np.zeros(len(distances))
        taken: list[int] = []
        for order in range(1, count + 1):
            near = semantic / max(1, len(taken))
            total = value + diversity * near
            total[taken] = -np.inf
            row = int(np.argmax(total))
            yield {"image": outputs.names[row], "first": first, "second": second, "order": order,
                   "distance": float(value[row]), "semantic": float(near[row])}  # fmt: skip
            taken.append(row)
            semantic += _squared(described, row)


def _squared(described: NDArray[Any], row: int) -> NDArray[np.float64]:
    blocks = (described[start : start + PART].astype(np.float64) for start in range(0, len(described), PART))
    return np.concatenate([((block - described[row]) ** 2).mean(1) for block in blocks])
