"""Runs a scorer over images in sequence: files shared among processes, batches by size, memory that stays flat."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from iqaloss._errors import check_device
from iqaloss._processes import Ranks
from iqaloss._text import storable
from iqaloss.data.images import open_image, to_bytes_tensor
from iqaloss.data.sources import Item, Source
from iqaloss.evaluation.scoring.score_files import Row, ScoreFiles, fingerprint
from iqaloss.scorers.base import Request, Scorer

Progress = Callable[[int], None]

Ready = tuple[int, Item, Tensor]
"""An item with its number and its decoded image."""


@dataclass(frozen=True)
class RunOptions:
    """How to run.

    Attributes:
        batch_size: Most images of one size that are scored together.
        batch_pixels: Most pixels that are scored together, but for a single image: memory goes by them.
        workers: Threads that read and decode images.
        device: Where the scorer runs; by default this process's GPU, or the CPU.
        dimensions: Whether to score the dimensions too.
        rows: Images a file of scores: the unit that processes share, that is written and that a resumed run skips.
    """

    batch_size: int = 8
    batch_pixels: int = 4_000_000
    workers: int = 2
    device: str | None = None
    dimensions: bool = False
    rows: int = 512

    def __post_init__(self) -> None:
        for name in ("batch_size", "batch_pixels", "workers", "rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class RunSummary:
    """What a run did.

    Attributes:
        files: Number of files of scores of the whole source.
        images: Number of images of the whole source.
        scored: Images that this process scored now.
        resumed: Images of this process that were scored before.
    """

    files: int
    images: int
    scored: int
    resumed: int


def batches_of_rows(source: Source, size: int) -> Iterator[list[Item]]:
    """Cuts a sequence into lists of ``size`` items."""
    items = iter(source)
    while rows := list(islice(items, size)):
        yield rows


def score_items(
    scorer: Scorer, items: Iterable[Item], options: RunOptions, device: str = "cpu"
) -> Iterator[tuple[int, Row]]:
    """Scores items; each row comes with its item's number, in the order in which batches fill.

    An image that cannot be read or is too small yields a row with the reason in ``error``.
    """
    request = Request(score=True, dimensions=None if options.dimensions else ())
    waiting: dict[tuple[int, int], list[Ready]] = {}
    for number, (item, image) in enumerate(_decoded(items, options)):
        if isinstance(image, str):
            yield number, _row(item, error=image)
            continue
        size = (int(image.shape[1]), int(image.shape[2]))
        if min(size) < scorer.card.min_side:
            reason = f"{size[0]}x{size[1]} pixels, {scorer.card.name} needs sides of {scorer.card.min_side}"
            yield number, _row(item, error=reason)
            continue
        waiting.setdefault(size, []).append((number, item, image))
        most = min(options.batch_size, max(1, options.batch_pixels // (size[0] * size[1])))
        if len(waiting[size]) >= most:
            yield from _score_batch(scorer, waiting.pop(size), request, device)
        elif _too_many(waiting, options):
            fullest = max(waiting, key=lambda key: len(waiting[key]))
            yield from _score_batch(scorer, waiting.pop(fullest), request, device)
    for batch in waiting.values():
        yield from _score_batch(scorer, batch, request, device)


def _too_many(waiting: Mapping[tuple[int, int], Sequence[Ready]], options: RunOptions) -> bool:
    """Whether images of many sizes wait, more than a few batches of them."""
    pixels = sum(height * width * len(images) for (height, width), images in waiting.items())
    return sum(map(len, waiting.values())) >= 4 * options.batch_size or pixels >= 4 * options.batch_pixels


def _decoded(items: Iterable[Item], options: RunOptions) -> Iterator[tuple[Item, Tensor | str]]:
    """Decodes ahead in threads, never more than a few images."""
    pending: deque[tuple[Item, Future[Tensor | str]]] = deque()
    with ThreadPoolExecutor(options.workers) as pool:
        for item in items:
            pending.append((item, pool.submit(_decode, item)))
            if len(pending) > 2 * options.workers:
                done, future = pending.popleft()
                yield done, future.result()
        for done, future in pending:
            yield done, future.result()


def _decode(item: Item) -> Tensor | str:
    try:
        return to_bytes_tensor(open_image(item.read(), item.key))
    except FileNotFoundError as error:
        return f"no such file: {error.filename}"
    except (ValueError, OSError) as error:
        return str(error)


def _score_batch(scorer: Scorer, batch: Sequence[Ready], request: Request, device: str) -> Iterator[tuple[int, Row]]:
    images = torch.stack([image for _, _, image in batch]).to(device).float() / 255.0
    with torch.inference_mode():
        out = scorer(images, request, **_conditions(scorer, [item for _, item, _ in batch]))
    scores = out.score.float().cpu().tolist()
    dimensions = {name: values.float().cpu().tolist() for name, values in out.dimensions.items()}
    for index, (number, item, _) in enumerate(batch):
        score = scores[index]
        if score != score or score in (float("inf"), float("-inf")):
            yield number, _row(item, error=f"the score is {score}")
            continue
        yield number, _row(item, score, {name: values[index] for name, values in dimensions.items()} or None)


def _conditions(scorer: Scorer, items: Sequence[Item]) -> dict[str, Any]:
    """Passes prompts to a scorer that takes them, where the source has one for each image."""
    prompts = [item.prompt for item in items]
    takes = "prompts" in inspect.signature(scorer.compute).parameters
    return {"prompts": prompts} if takes and None not in prompts else {}


def _row(
    item: Item, score: float | None = None, dimensions: Mapping[str, float] | None = None, error: str | None = None
) -> Row:
    return Row(
        storable(item.key), score, dimensions, item.target, item.group, None if error is None else storable(error)
    )


def score_source(
    scorer: Scorer,
    source: Source,
    files: ScoreFiles,
    options: RunOptions | None = None,
    *,
    ranks: Ranks | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Scores a source into files; what is there already is kept, and what other processes do is left to them.

    Memory does not depend on the number of images: the source is read in sequence, one file's rows are held.

    Args:
        scorer: The scorer; moved to the device.
        source: The images.
        files: Where the scores go.
        options: How to run.
        ranks: This process among several; read from the environment by default.
        progress: Called with the number of images after each file of this process.
    """
    options, ranks = options or RunOptions(), ranks or Ranks.from_environment()
    device = check_device(ranks.device(options.device))
    scorer = scorer.to(device)
    count = images = scored = resumed = 0
    for number, items in enumerate(batches_of_rows(source, options.rows)):
        count, images = count + 1, images + len(items)
        if not ranks.mine(number):
            continue
        if files.is_done(number, items):
            resumed += len(items)
        else:
            rows = dict(score_items(scorer, items, options, device))
            files.write(number, items, [rows[number] for number in range(len(items))])
            scored += len(items)
        if progress is not None:
            progress(len(items))
    return RunSummary(count, images, scored, resumed)


def describe_run(scorer: Scorer, options: RunOptions) -> dict[str, Any]:
    """Returns what the scores depend on, for :class:`iqaloss.evaluation.scoring.score_files.ScoreFiles`."""
    return {
        "scorer": scorer.card.name,
        "weights": fingerprint(scorer),
        "config": repr(scorer.config),
        "dimensions": options.dimensions,
        "rows": options.rows,
    }
