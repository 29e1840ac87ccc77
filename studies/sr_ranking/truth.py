"""Who is better, by distances to originals: votes of the panel, each judge a subject."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from iqaloss._files import write_text
from iqaloss.data.images import load_image
from iqaloss.evaluation.panel import JUDGES
from studies.judges.items import Item, Kept, Measure, Pair, measure_items
from studies.sr_ranking.methods import taught_by

VOTERS = ("lpips_vgg", "lpips_alex", "vit")
"""Judges that vote, one of each family; PSNR says who blurs most."""


def save_votes(folder: Path, names: Sequence[str], pictures: int, measure: Callable[[], Measure]) -> Path:
    """Measures every output of ``folder/outputs`` against ``folder/originals`` and writes ``folder/votes.csv``."""
    items = [
        Item(f"{name}/{index:03}", partial(_pair, folder, name, index)) for name in names for index in range(pictures)
    ]
    kept = measure_items(items, measure, folder / "distances.json")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("winner", "loser", "image", "subject"))
    writer.writerows(_votes(kept, names, pictures))
    write_text(folder / "votes.csv", text.getvalue())
    return folder / "votes.csv"


def _pair(folder: Path, name: str, index: int) -> Pair:
    file = f"{index:03}.png"
    return load_image(folder / "outputs" / name / file), load_image(folder / "originals" / file)


def _votes(kept: Kept, names: Sequence[str], pictures: int) -> Iterator[tuple[str, str, str, str]]:
    """A vote for each judge, picture and pair; a judge has no say over what its family trained or taught."""
    for index, (one, other), judge in itertools.product(range(pictures), itertools.combinations(names, 2), VOTERS):
        if JUDGES[judge].family in (*taught_by(one), *taught_by(other)):
            continue
        a, b = (kept[f"{name}/{index:03}"][judge] for name in (one, other))
        if a != b:
            yield (one, other, f"{index:03}.png", judge) if a < b else (other, one, f"{index:03}.png", judge)
