"""What ``train`` and ``finetune`` do with a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from iqaloss._processes import Ranks

if TYPE_CHECKING:
    from iqaloss.training.engine.trainer import Trainer
    from iqaloss.training.recipes import Recipe


def trainer_of(recipe: Recipe, out: Path, resume: bool, device: str | None, quiet: bool) -> Trainer:
    """Makes a recipe's training ready."""
    if device not in (None, "cpu"):
        raise ValueError(
            f"--device {device}: a training takes each process's own GPU, or the CPU with --device cpu; "
            "CUDA_VISIBLE_DEVICES chooses among several"
        )
    from iqaloss.training.engine.trainer import Trainer

    return Trainer(recipe, out, resume=resume, bar=not quiet, cpu=device == "cpu")


def fit(recipe: Recipe, out: Path, resume: bool, device: str | None, quiet: bool) -> None:
    """Runs a recipe; the first process tells how many rows were left out and where the result is."""
    from iqaloss.cli.display import say

    first = Ranks.from_environment().rank == 0
    trainer = trainer_of(recipe, out, resume, device, quiet)
    if first:
        for said in (*trainer.datasets.taken(), *trainer.datasets.own_splits(), trainer.task.learning()):
            say(said, err=True)
        for name, count in trainer.datasets.skipped().items():
            if count:
                say(f"{name}: went on without {count} bad rows")
    result = trainer.fit()
    if first:
        best = ""
        if trainer.state.history:
            best = f" ({recipe.run.key.upper()} {trainer.state.best:.4f} on its validation images)"
        say(f"checkpoint: {result}{best}")
        say(f'use it: create_scorer("{recipe.scorer.name}", weights="{result}")')
