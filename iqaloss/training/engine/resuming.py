"""Everything that a training needs to go on as if nothing had happened."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqaloss.training.engine.checkpointing import (
    STATE,
    random_state,
    read_state,
    restore_random_state,
    seed_everything,
    write_state,
)
from iqaloss.training.engine.collective import gather_objects
from iqaloss.training.engine.sampling import mixed_seed
from iqaloss.training.recipes.recipe import Recipe

if TYPE_CHECKING:
    from iqaloss.training.engine.trainer import Trainer

_MAY_CHANGE = (
    "title",
    "source",
    "data.workers",
    "run.steps",
    "run.epochs",
    "run.validate_every",
    "run.save_every",
    "run.accumulate",
)
"""What a resumed training may do differently without becoming another training."""


def training_state(trainer: Trainer) -> dict[str, Any]:
    """Returns the whole state: weights, average, optimiser, position, best score, every rank's random state.

    Called by all processes, since the random states come from all of them.
    """
    scaler = trainer.accelerator.scaler
    return {
        "recipe": json.dumps(dataclasses.asdict(trainer.recipe)),
        "step": trainer.step,
        "fresh_at": trainer.fresh_at,
        "best": trainer.best,
        "history": trainer.history,
        "task": trainer.task.state_dict(),
        "average": None if trainer.average is None else trainer.average.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": None if scaler is None else scaler.state_dict(),
        "random": gather_objects(random_state()),
    }


def write_last(state: dict[str, Any], path: Path, accelerator: Any) -> None:
    """Writes the state from the first process; the others wait."""
    if accelerator.is_main_process:
        write_state(state, path)
    accelerator.wait_for_everyone()


def restore(trainer: Trainer) -> None:
    """Puts a trainer where the state in its output folder was left.

    With another number of processes than before, the random states of dropout are seeded anew from the seed and
    the step; all else goes on exactly.

    Raises:
        FileNotFoundError: If there is no state.
        ValueError: If it belongs to another recipe; names the fields that differ.
    """
    state = read_state(trainer.out / STATE)
    differing = differences(json.loads(state["recipe"]), _plain(trainer.recipe))
    if differing:
        raise ValueError(f"{trainer.out / STATE} was made with another recipe: {'; '.join(differing)}")
    trainer.step, trainer.fresh_at = int(state["step"]), int(state["fresh_at"])
    trainer.best, trainer.history = float(state["best"]), list(state["history"])
    trainer.task.load_state_dict(state["task"])
    trainer.task.configure(trainer.step)
    trainer.optimizer.load_state_dict(state["optimizer"])
    if trainer.average is not None:
        trainer.average.load_state_dict(state["average"])
    if trainer.accelerator.scaler is not None and state["scaler"] is not None:
        trainer.accelerator.scaler.load_state_dict(state["scaler"])
    rank, states = trainer.accelerator.process_index, state["random"]
    if len(states) == trainer.accelerator.num_processes:
        restore_random_state(states[rank])
    else:
        seed_everything(mixed_seed(trainer.recipe.run.seed, trainer.step), rank)


def _plain(recipe: Recipe) -> dict[str, Any]:
    return dict(json.loads(json.dumps(dataclasses.asdict(recipe))))


def differences(old: Any, new: Any, where: str = "") -> list[str]:
    """Returns the fields in which two recipes differ, but for those that may change."""
    if where in _MAY_CHANGE:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        names = [*old, *(name for name in new if name not in old)]
        parts = [differences(old.get(name), new.get(name), f"{where}.{name}".lstrip(".")) for name in names]
        return [found for part in parts for found in part]
    return [] if old == new else [f"{where} was {old!r}, is {new!r}"]
