"""How often the scorers of a protocol's runs prefer what people preferred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any


def with_votes(
    rows: Sequence[Mapping[str, Any]], scorer: str, places: Sequence[Sequence[Path]], votes: Path, images: Path
) -> list[dict[str, Any]]:
    """Returns a protocol's rows with the 2AFC score of each variant's runs: the median, with lowest and highest.

    Args:
        rows: A row for each variant.
        scorer: Name of the scorer.
        places: Folders of each variant's runs.
        votes: Table of votes.
        images: Folder of the images that people saw.
    """
    from iqaloss.cli.held_out import kept_scorer
    from iqaloss.ranking import agreement, reading
    from iqaloss.scorers.factory import create_scorer

    cast = reading.read_votes(votes)

    def two_afc(place: Path) -> float:
        model = create_scorer(scorer, weights=kept_scorer(place), frozen=True)
        scores = agreement.score_images(cast, images, lambda image: model(image).score)
        return agreement.agreement(cast, agreement.by_scores(cast, scores), scorer, repeats=0)[0].two_afc

    found = [[round(two_afc(place), 6) for place in runs] for runs in places]
    return [
        {**row, "two_afc": median(each), "two_afc_spread": (min(each), max(each))} for row, each in zip(rows, found)
    ]
