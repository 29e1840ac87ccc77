"""The rows that a training held out, by the folder of the training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iqaloss.data.manifest import Manifest


@dataclass(frozen=True)
class HeldOut:
    """A validation set of a training.

    Attributes:
        name: Its name in the recipe.
        place: The folder of the training.
        manifest: Its rows.
        dimension: The dimension that is compared; None for the overall score.
    """

    name: str
    place: Path
    manifest: Manifest
    dimension: str | None


def held_out_sets(runs: Sequence[Path], skip_bad: bool = False, dimension: str | None = None) -> list[HeldOut]:
    """Returns the rows that the recipes of some trainings held out.

    Args:
        runs: Folders of trainings.
        skip_bad: Whether bad rows are left out.
        dimension: What to compare with where a recipe validates the overall score.

    Raises:
        FileNotFoundError: If a folder holds no training.
        ValueError: If a recipe held nothing out.
    """
    from iqaloss.data.manifest import SCORE
    from iqaloss.training.engine.checkpointing import STATE, read_state
    from iqaloss.training.engine.data import load_manifest
    from iqaloss.training.recipes.files import recipe_from

    found = []
    for place in runs:
        if not (place / STATE).is_file():
            raise FileNotFoundError(f"--run {place} holds no training: there is no {STATE}")
        recipe = recipe_from(json.loads(read_state(place / STATE)["recipe"]), where=f"the recipe of {place}")
        if not recipe.data.validation:
            raise ValueError(f"--run {place}: its recipe held no rows out")
        for spec in recipe.data.validation:
            spec = replace(spec, skip_bad=spec.skip_bad or skip_bad)
            validated = dimension if spec.target == SCORE else spec.target
            found.append(HeldOut(spec.name, place, load_manifest(spec), validated))
    return found


def kept_scorer(run: Path) -> Path:
    """Returns the scorer that a training kept: its best, or its last where nothing validated."""
    from iqaloss.training.engine.checkpointing import BEST, LAST

    path = run / BEST if (run / BEST).is_file() else run / LAST
    if not path.is_file():
        raise FileNotFoundError(f"--run {run} holds no scorer yet ({BEST} or {LAST}): give --weights")
    return path
