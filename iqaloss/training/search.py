"""A search over values of a recipe with Optuna: one training a trial, resumable, the best validation decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from iqaloss._errors import optional
from iqaloss.training.engine.trainer import Trainer
from iqaloss.training.recipes.files import recipe_from
from iqaloss.training.specs.recipe import Recipe

STUDY = "study.db"
Train = Callable[[Recipe, Path], float]
"""Trains by a recipe into a folder, and returns how good it became."""


@dataclass(frozen=True)
class Range:
    """What a value of a recipe may be.

    Attributes:
        key: Where it stands, ``optimizer.lr`` say.
        choices: The values to choose from, as they are typed; empty for a range of numbers.
        low: The smallest number.
        high: The largest one.
        log: Whether small numbers are as likely as large ones.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @classmethod
    def read(cls, text: str) -> Range:
        """Reads ``KEY=LOW:HIGH``, ``KEY=LOW:HIGH:log`` or ``KEY=A,B,C``.

        Raises:
            ValueError: If it is none of these.

        Example:
            >>> Range.read("optimizer.lr=1e-6:1e-3:log")
            Range(key='optimizer.lr', choices=(), low=1e-06, high=0.001, log=True)
            >>> Range.read("optimizer.name=adam,adamw").choices
            ('adam', 'adamw')
        """
        key, equals, values = text.partition("=")
        choices, ends = tuple(values.split(",")), values.split(":")
        try:
            if equals and key and len(choices) > 1 and all(choices):
                return cls(key, choices)
            low, high = (float(each) for each in ends[:2])
            log = ends[2:] == ["log"]
            if equals and key and (log or len(ends) == 2) and low < high and not (log and low <= 0):
                return cls(key, (), low, high, log)
        except ValueError:
            pass
        raise ValueError(f"--over takes KEY=LOW:HIGH, KEY=LOW:HIGH:log (above 0) or KEY=A,B,C; got {text!r}")

    def suggested(self, trial: Any) -> str:
        """Returns a trial's value as a change of the recipe."""
        if self.choices:
            return f"{self.key}={trial.suggest_categorical(self.key, list(self.choices))}"
        return f"{self.key}={trial.suggest_float(self.key, self.low, self.high, log=self.log):.6g}"


@dataclass(frozen=True)
class Trial:
    """One training of a search.

    Attributes:
        number: Its number, and that of its folder.
        value: Its best validation; None where it broke off.
        changes: What it changed in the recipe.
    """

    number: int
    value: float | None
    changes: tuple[str, ...]


def search(
    values: Mapping[str, Any],
    ranges: Sequence[Range],
    out: str | Path,
    *,
    trials: int,
    changes: Sequence[str] = (),
    seed: int = 0,
    train: Train | None = None,
    tell: Callable[[Trial], None] = lambda trial: None,
) -> list[Trial]:
    """Searches until a number of trials is done, those of earlier calls with the same folder counted.

    Args:
        values: The recipe's plain values.
        ranges: What is varied.
        out: Folder for the study and, in folders of their own, the trainings.
        trials: How many trials there are in the end.
        changes: Changes of the recipe for all of them.
        seed: Of the sampler (TPE).
        train: Trains and returns what is maximised; by default the recipe's training and its best validation.
        tell: Is told of each trial.

    Returns:
        All trials, the best first.

    Raises:
        ImportError: If Optuna is not installed.
        ValueError: If a trial's recipe cannot be used.
    """
    if not ranges or len({one.key for one in ranges}) < len(ranges):
        raise ValueError(f"a search varies one or more keys, each once; got {[one.key for one in ranges]}")
    optuna = optional("optuna", "optuna", "search", "a search")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="search", storage=f"sqlite:///{(folder / STUDY).resolve()}", load_if_exists=True,
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed),
    )  # fmt: skip

    def objective(trial: Any) -> float:
        given = [one.suggested(trial) for one in ranges]
        trial.set_user_attr("changes", given)
        recipe = recipe_from(values, [*changes, *given], f"trial {trial.number}")
        if not recipe.data.validation:
            raise ValueError("the recipe has no validation set, by which trials could be compared")
        value = (train or trained)(recipe, folder / f"trial_{trial.number:03d}")
        tell(Trial(trial.number, value, tuple(given)))
        return value

    done = sum(trial.state == optuna.trial.TrialState.COMPLETE for trial in study.trials)
    if done < trials:
        study.optimize(objective, n_trials=trials - done)
    found = [Trial(one.number, one.value, tuple(one.user_attrs.get("changes", ()))) for one in study.trials]
    return sorted(found, key=lambda one: (one.value is None, -(one.value or 0.0)))


def trained(recipe: Recipe, out: Path) -> float:
    """Trains by a recipe and returns its best validation."""
    trainer = Trainer(recipe, out, bar=False)
    trainer.fit()
    return trainer.state.best
