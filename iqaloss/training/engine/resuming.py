"""Everything that a training needs to go on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from iqaloss._errors import shown
from iqaloss.training.engine.checkpointing import (
    random_state,
    read_state,
    restore_random_state,
    seed_everything,
    write_state,
)
from iqaloss.training.engine.collective import gather_objects, world
from iqaloss.training.engine.sampling import mixed_seed
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.state import TrainState

_MAY_CHANGE = (
    "title",
    "source",
    "data.workers",
    "data.train.data",  # the digest of the rows tells another table from a moved one
    "data.train.images",
    "data.validation.data",
    "data.validation.images",
    "run.steps",
    "run.epochs",
    "run.validate_every",
    "run.save_every",
    "run.accumulate",
)
"""What a resumed training may do differently without becoming another training."""

_KEPT = ("step", "fresh_at", "best", "best_each", "history")
"""What of the state is written; the rest follows from the recipe and the data."""


class Stateful(Protocol):
    """What changes while a training goes on: the task, its average, the optimiser, the scaler of a half precision."""

    def state_dict(self) -> Any:
        """Returns its state."""

    def load_state_dict(self, state: Any, /) -> Any:
        """Takes up a state."""


def training_state(
    recipe: Recipe, state: TrainState, holders: Mapping[str, Stateful], rows: Mapping[str, str]
) -> dict[str, Any]:
    """Returns all there is to write: the recipe, the position, the rows, every holder, every rank's random state.

    Called by all processes, since the random states come from all of them.
    """
    return {
        "recipe": json.dumps(dataclasses.asdict(recipe)),
        "rows": dict(rows),
        **{name: getattr(state, name) for name in _KEPT},
        **{name: holder.state_dict() for name, holder in holders.items()},
        "random": gather_objects(random_state()),
    }


def write_last(state: dict[str, Any], path: Path, accelerator: Any) -> None:
    """Writes the state from the first process; the others wait."""
    if accelerator.is_main_process:
        write_state(state, path)
    accelerator.wait_for_everyone()


def restore(
    path: Path, recipe: Recipe, state: TrainState, holders: Mapping[str, Stateful], rows: Mapping[str, str]
) -> TrainState:
    """Gives every holder what it had when the file was written, and returns where the training stood.

    With another number of processes than before, the random states of dropout are seeded anew from the seed and
    the step; all else goes on exactly.

    Args:
        path: The file.
        recipe: The recipe that goes on.
        state: The state of a training with this recipe that has not begun.
        holders: What changes while a training goes on, by name.
        rows: Digest of the rows of each rated set.

    Raises:
        FileNotFoundError: If there is no state.
        ValueError: If it belongs to another recipe or to other rows; names the fields or sets that differ.
    """
    saved = read_state(path)
    differing = differences(json.loads(saved["recipe"]), json.loads(json.dumps(dataclasses.asdict(recipe))))
    if differing:
        raise ValueError(f"{path} was made with another recipe: {'; '.join(differing)}")
    other = [name for name, digest in rows.items() if saved.get("rows", {}).get(name) != digest]
    if other:
        raise ValueError(
            f"{path} was made with other rows of {', '.join(other)}: images, scores or groups of the table changed, so "
            "that the split and the best score of before do not hold; put them back, or train into another folder"
        )
    for name, holder in holders.items():
        holder.load_state_dict(saved[name])
    rank, ranks = world()
    if len(saved["random"]) == ranks:
        restore_random_state(saved["random"][rank])
    else:
        seed_everything(mixed_seed(recipe.run.seed, int(saved["step"])), rank)
    return dataclasses.replace(state, **{name: saved[name] for name in _KEPT} | {"history": tuple(saved["history"])})


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Returns the fields in which two recipes differ, but for those that may change."""
    if re.sub(r"\.\d+", "", where) in _MAY_CHANGE:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = [*old, *(name for name in new if name not in old)]
        found = [differences(old.get(name), new.get(name), f"{where}.{name}".lstrip(".")) for name in names]
        return [line for lines in found for line in lines]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        found = [differences(*pair, f"{where}.{number}") for number, pair in enumerate(zip(old, new))]
        return [line for lines in found for line in lines]
    return [] if old == new else [f"{where} was {shown(old)}, is {shown(new)}"]
