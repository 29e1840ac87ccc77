"""The learning rate of a step, as a pure function: a schedule has no state to save."""

from __future__ import annotations

import math

from iqaloss.training.schedules import pmt_learning_rate, warmup_cosine
from iqaloss.training.specs.run import ScheduleSpec


def factor(schedule: ScheduleSpec, step: int, epoch_steps: int, total: int | None = None) -> float:
    """Returns the factor of the learning rate at a step.

    Args:
        schedule: The schedule.
        step: The step, from 0, counted from the last fresh start of the optimiser.
        epoch_steps: Steps of an epoch.
        total: Steps of the whole training, which a schedule without a period needs.

    Example:
        >>> factor(ScheduleSpec("cosine", unit="step", period=2), 1, 10)
        0.5
    """
    in_epochs = schedule.unit == "epoch"
    if schedule.name == "constant":
        return 1.0
    whole = max(1, total or 1)
    period = schedule.period or (-(-whole // epoch_steps) if in_epochs else whole)
    if schedule.name == "warmup_cosine":
        scale = epoch_steps if in_epochs else 1
        return warmup_cosine(step, warmup=schedule.warmup * scale, horizon=period * scale)
    time = step // epoch_steps if in_epochs else step
    if schedule.name == "tenfold":
        return pmt_learning_rate(time, 1.0)
    return round(cosine(time, period, skip_zero=schedule.skip_zero), 12)


def cosine(time: int, period: int, *, skip_zero: bool = False) -> float:
    """A cosine from 1 to 0 in ``period`` and back again, for ever; without its zeros if asked.

    Example:
        >>> [round(cosine(t, 5, skip_zero=True), 2) for t in (0, 4, 5, 9)]
        [1.0, 0.1, 0.1, 1.0]
    """
    if skip_zero:
        # One zero in every 2 * period points: the points that are left number 2 * period - 1.
        rounds, place = divmod(time, 2 * period - 1)
        time = rounds * 2 * period + place + (place >= period)
    return 0.5 * (1.0 + math.cos(math.pi * time / period))
