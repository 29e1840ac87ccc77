"""What the demo trains, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

SCALE = 4
"""How many times smaller the network's input is."""


START_FILE = Path(__file__).parent / "start.safetensors"
"""What the compared networks start from: trained with L1 alone, see ``start.md`` beside it."""


@dataclass(frozen=True)
class Run:
    """One of the networks that are compared.

    Attributes:
        name: Name of its experiment.
        title: What tables and pictures call it.
        weights: The dimensions' weights, those left out weigh 1; None trains with the pixel loss alone.
        times: Factor of the quality loss's recommended weight.
    """

    name: str
    title: str
    weights: Mapping[str, float] | None = None
    times: float = 1.0


RUNS = (
    Run("1_l1_only", "L1 only"),
    Run("2_mdiqa", "L1 + MDIQALoss", {}),
    Run("3_sharpness_4", "sharpness weighs 4", {"sharpness": 4.0}),
    Run("4_three_times", "three times as much", {}, times=3.0),
)
"""The last one shows where a good thing ends: its score goes on rising."""


@dataclass(frozen=True)
class Plan:
    """Sizes and lengths.

    Attributes:
        steps: Steps of each training.
        rate: Their learning rate.
        batch: Patches in a step.
        patch: Side of the true patches.
        features: Width of the network.
        blocks: Its depth.
        loss_weight: Weight of the quality loss beside the pixel loss, whose own is 1.
        mode: Of the quality loss.
        options: Its other options.
        minutes: About how long all of it takes on one core.
        scorer: The scorer, as a recipe writes it.
        start: The file that every network starts from; None starts from nothing.
        runs: The compared trainings.
    """

    steps: int = 200
    rate: float = 1e-4
    batch: int = 2
    patch: int = 192
    features: int = 32
    blocks: int = 8
    loss_weight: float = 0.2
    mode: str = "nr"
    options: Mapping[str, Any] = field(default_factory=lambda: {"prefilter": 1.2})
    minutes: float = 6.0
    scorer: str | Mapping[str, Any] = "mdiqa-mobile"
    start: Path | None = START_FILE
    runs: tuple[Run, ...] = field(default=RUNS)

    def lasting(self, minutes: float) -> Plan:
        """Returns the plan with its steps scaled to a time.

        Raises:
            ValueError: If the time is not positive.

        Example:
            >>> Plan(steps=50, minutes=8.0).lasting(4.0).steps
            25
        """
        if not (math.isfinite(minutes) and minutes > 0):
            raise ValueError(f"minutes must be a positive number, got {minutes!r}")
        return replace(self, steps=max(2, round(minutes / self.minutes * self.steps)), minutes=minutes)
