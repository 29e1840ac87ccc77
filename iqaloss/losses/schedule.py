"""A weight that changes while a network is trained."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass

from iqaloss._errors import shown
from iqaloss.losses.checks import check_finite

Weight = float | Mapping[int, float]
"""A number, or a number for some steps, with straight lines between them."""


@dataclass(frozen=True)
class Schedule:
    """A weight for each step: piecewise linear, constant before the first and after the last step that is named.

    A no-reference loss is best added late, to a network that its pixel loss has trained already (Kashkarov et al.,
    arXiv 2405.20392): ``{0: 0, 5000: 0, 10000: 0.03}``.

    Attributes:
        steps: The steps that have a weight of their own, rising.
        values: Their weights.

    Example:
        >>> schedule = Schedule.read("loss_weight", {0: 0, 1000: 0.03})
        >>> schedule.at(0), schedule.at(500), schedule.at(9999)
        (0.0, 0.015, 0.03)
    """

    steps: tuple[int, ...]
    values: tuple[float, ...]

    @classmethod
    def read(cls, name: str, given: Weight, *, negative: bool = True) -> Schedule:
        """Reads a number or a mapping from step to number.

        Raises:
            TypeError: If a step is no whole number, or a weight no number.
            ValueError: If a step is below 0, a weight is not finite (or negative and may not be), or none is given.
        """
        if not isinstance(given, Mapping):
            return cls((0,), (check_finite(name, given, negative=negative),))
        if not given:
            raise ValueError(f"{name} must be a number or map steps to numbers, such as {{0: 0, 1000: 0.03}}; got {{}}")
        values = {read_step(name, step): value for step, value in given.items()}
        steps = tuple(sorted(values))
        return cls(steps, tuple(check_finite(f"{name} at step {s}", values[s], negative=negative) for s in steps))

    @property
    def constant(self) -> bool:
        """Whether it is the same at every step."""
        return len(self.steps) == 1

    def at(self, step: int) -> float:
        """Returns the weight at a step."""
        after = bisect.bisect_right(self.steps, step)
        if after == 0 or after == len(self.steps):
            return self.values[0 if after == 0 else -1]
        (x, y), (u, v) = ((self.steps[i], self.values[i]) for i in (after - 1, after))
        return y + (v - y) * (step - x) / (u - x)


def read_step(name: str, given: object) -> int:
    """Returns a step of a schedule, which JSON, and a recipe that BasicSR's own script prints, write as text.

    Example:
        >>> read_step("loss_weight", "1000")
        1000
    """
    step = int(given) if isinstance(given, str) and given.isdecimal() else given
    if isinstance(step, bool) or not isinstance(step, int):
        raise TypeError(f"a step of {name} must be a whole number, got {shown(given)}")
    if step < 0:
        raise ValueError(f"a step of {name} must be at least 0, got {step}")
    return step
