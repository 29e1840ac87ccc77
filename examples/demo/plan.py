"""What the demo trains, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

SCALE = 4
"""How many times smaller the network's input is."""


@dataclass(frozen=True)
class Run:
    """One of the networks that are compared.

    Attributes:
        name: Name of its experiment.
        title: What tables and pictures call it.
        weights: The dimensions' weights; None trains with the pixel loss alone.
    """

    name: str
    title: str
    weights: Mapping[str, float] | None = None


START = Run("0_start", "L1, start of the others")
"""What the compared networks start from."""

RUNS = (
    Run("1_l1_only", "L1 only"),
    Run("2_sharpness_1", "L1 + MDIQALoss sharpness 1", {"sharpness": 1.0}),
    Run("3_sharpness_4", "L1 + MDIQALoss sharpness 4", {"sharpness": 4.0}),
)


@dataclass(frozen=True)
class Plan:
    """Sizes and lengths.

    Attributes:
        start_steps: Steps of the first training, with the pixel loss alone.
        steps: Steps of each of the compared trainings.
        start_rate: Learning rate of the first training.
        rate: Learning rate of the compared ones.
        batch: Patches in a step.
        patch: Side of the true patches.
        features: Width of the network.
        blocks: Its depth.
        loss_weight: Weight of the quality loss beside the pixel loss, whose own is 1.
        mode: Of the quality loss.
        minutes: About how long all of it takes on one core.
        scorer: The scorer, as a recipe writes it.
        runs: The compared trainings.
    """

    start_steps: int = 1000
    steps: int = 200
    start_rate: float = 7e-4
    rate: float = 3e-4
    batch: int = 2
    patch: int = 192
    features: int = 32
    blocks: int = 8
    loss_weight: float = 0.03
    mode: str = "nr"
    minutes: float = 7.0
    scorer: str | Mapping[str, Any] = "mdiqa-mobile"
    runs: tuple[Run, ...] = field(default=RUNS)

    def lasting(self, minutes: float) -> Plan:
        """Returns the plan with its steps scaled to a time.

        Raises:
            ValueError: If the time is not positive.

        Example:
            >>> Plan(start_steps=100, steps=50, minutes=8.0).lasting(4.0).steps
            25
        """
        if not (math.isfinite(minutes) and minutes > 0):
            raise ValueError(f"minutes must be a positive number, got {minutes!r}")
        share = minutes / self.minutes
        start_steps, steps = (max(2, round(share * count)) for count in (self.start_steps, self.steps))
        return replace(self, start_steps=start_steps, steps=steps, minutes=minutes)
