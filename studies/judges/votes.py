"""Pair votes on one network trained with two losses: michaelneuder/image_quality_analysis, MIT, gray, 64 by 64."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from iqaloss.data.images import load_image
from iqaloss.ranking.reading import read_votes
from iqaloss.ranking.votes import Votes
from studies.judges.items import Item

IMAGES, TABLE = Path("data/iclr_images"), Path("data/human_data.csv")


LEAST = 10
"""Fewest votes on a picture that counts: most have one vote, a hundred have about twenty."""


def well_known(folder: Path, pictures: int, least: int = LEAST) -> Votes:
    """Reads the votes on the pictures that many people compared, the first so many of them."""
    votes = read_votes(folder / TABLE)
    trials = votes.trials[0]
    often = [name for name, total in zip(trials.images or (), trials.total) if total >= least]
    chosen = set(often[:pictures])
    return votes.take(row for row, name in enumerate(votes.images or ()) if name in chosen)


def outputs(folder: Path, votes: Votes) -> Iterator[Item]:
    """Yields both outputs of each picture that was voted on, beside their original."""
    for both, picture in zip(votes.seen, votes.trials[0].images or ()):
        files = folder / IMAGES / f"{picture}_orig.png"
        for name in both:
            yield Item(name, lambda name=name, files=files: (load_image(folder / IMAGES / name), load_image(files)))
