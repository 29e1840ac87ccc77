"""Rated pictures with their originals, and what candidates said of them, kept so that a study can go on."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import torch
from torch import Tensor

from iqaloss._files import write_text

Pair = tuple[Tensor, Tensor]
Load = Callable[[], Pair | None]
Measure = Callable[[Tensor, Tensor], dict[str, Tensor]]

BATCH = 8


@dataclass(frozen=True)
class Item:
    """A picture that people rated or compared.

    Attributes:
        key: Its name within the set; what was said of it is kept under this name.
        load: Makes the picture and its original, ``[3, H, W]`` in [0, 1]; None where it cannot be made.
        score: What people gave it, higher is better; NaN where they compared pictures only.
        groups: What it is counted with: the kind of group to its name.
    """

    key: str
    load: Load
    score: float = float("nan")
    groups: Mapping[str, str] = field(default_factory=dict)


Kept = dict[str, dict[str, float]]


def read_kept(path: Path) -> Kept:
    """Returns what was kept: item to candidate to value; an item that cannot be made has no values."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def measure_items(items: Sequence[Item], measure: Callable[[], Measure], path: Path) -> Kept:
    """Measures what is not kept yet, a few pictures of one size at a time, and keeps it after each of these.

    Args:
        items: The pictures.
        measure: Builds what measures; called only where something is missing.
        path: JSON file of what was said before.
    """
    kept = read_kept(path)
    missing = [item for item in items if item.key not in kept]
    if not missing:
        return kept
    run, start = measure(), time.process_time()
    for first in range(0, len(missing), BATCH):
        some = [(item, item.load()) for item in missing[first : first + BATCH]]
        kept |= {item.key: {} for item, pair in some if pair is None}
        made = [(item, pair) for item, pair in some if pair is not None]
        for _, same in groupby(made, key=lambda entry: entry[1][0].shape):
            kept |= _measured(list(same), run)
        write_text(path, json.dumps(kept))
        done = first + len(some)
        sys.stderr.write(f"{path.stem}: {done} of {len(missing)}, {time.process_time() - start:.0f} s\n")
    return kept


def _measured(made: Sequence[tuple[Item, Pair]], run: Measure) -> Kept:
    pred, target = (torch.stack([pair[side] for _, pair in made]) for side in (0, 1))
    values = {name: value.tolist() for name, value in run(pred, target).items()}
    return {
        item.key: {name: round(value[row], 7) for name, value in values.items()} for row, (item, _) in enumerate(made)
    }


def said(items: Iterable[Item], kept: Kept) -> list[Item]:
    """Returns the items that were measured."""
    return [item for item in items if kept.get(item.key)]
