"""Where a training stands: what the trainer moves on, tasks read, and resuming writes and reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainState:
    """Where a training stands.

    Attributes:
        step: Steps taken so far.
        total: Steps of the whole training.
        epoch_steps: Steps of an epoch.
        fresh_at: Step at which the optimiser last started afresh.
        best: The best mean correlation of a validation so far.
        best_each: The best correlation of each validation set so far.
        history: Step, SRCC and PLCC of every validation.

    Example:
        >>> state = TrainState(step=29, total=60, epoch_steps=10)
        >>> state.epoch, state.epochs, state.at(30).epoch
        (2, 6, 3)
    """

    step: int = 0
    total: int = 1
    epoch_steps: int = 1
    fresh_at: int = 0
    best: float = float("-inf")
    history: tuple[dict[str, float], ...] = ()
    best_each: Mapping[str, float] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The epoch of the next step, from 0."""
        return self.step // self.epoch_steps

    @property
    def epochs(self) -> int:
        """Number of epochs, the last of which may be short."""
        return max(1, -(-self.total // self.epoch_steps))

    @property
    def ended(self) -> bool:
        """Whether all steps are taken."""
        return self.step >= self.total

    def at(self, step: int) -> TrainState:
        """Returns the same training at another step."""
        return dataclasses.replace(self, step=step)

    def restarted(self) -> TrainState:
        """Returns the state with an optimiser that starts afresh at this step."""
        return dataclasses.replace(self, fresh_at=self.step)

    def validated(self, results: dict[str, float], best: float, each: Mapping[str, float]) -> TrainState:
        """Returns the state with one more entry of history, and with what is best so far."""
        best_each = {name: max(value, self.best_each.get(name, value)) for name, value in each.items()}
        history = (*self.history, {"step": self.step, **results})
        return dataclasses.replace(self, history=history, best=max(best, self.best), best_each=best_each)
