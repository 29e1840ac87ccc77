"""What is tuned, on what and how: a dataclass that is written beside the result."""

from __future__ import annotations

import math
from dataclasses import dataclass

from iqaloss._errors import check_choice, shown

PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class TuneSettings:
    """All that makes a tuning.

    Attributes:
        model: The checkpoint to begin with.
        images: Folder of photographs.
        inputs: Folder of their low-quality versions, where they are not made.
        degradation: What makes them otherwise; see :func:`iqaloss.tuning.degradations.read_degradation`.
        losses: Losses beside the pixel loss, as expressions such as ``MDIQALoss(sharpness=2)``.
        pixel_weight: Weight of the L1 loss.
        steps: Steps of the optimizer.
        lr: Learning rate; it rises over the first twentieth of the steps and falls to zero by a cosine.
        batch_size: Patches in a step, over all processes.
        patch: Side of the true patches.
        ema: Decay of the averaged weights, which are the result; None for none.
        lora: Rank of low-rank adapters; None trains every weight.
        condition: Sliders that the network learns to follow, as ``sharpness=1:4``; see :mod:`iqaloss.tuning.steered`.
        clip: Largest norm of the gradient; None for none.
        precision: ``"no"``, ``"bf16"`` or ``"fp16"``.
        seed: Of patches and degradations.
        save_every: Steps between two states to resume from.

    Raises:
        ValueError: For a value that is not allowed.

    Example:
        >>> TuneSettings("4x.pth", "photos", steps=0)
        Traceback (most recent call last):
        ValueError: steps must be at least 1, got 0
    """

    model: str
    images: str
    inputs: str | None = None
    degradation: str = "bicubic"
    losses: tuple[str, ...] = ("MDIQALoss",)
    pixel_weight: float = 1.0
    steps: int = 1000
    lr: float = 1e-4
    batch_size: int = 4
    patch: int = 192
    ema: float | None = 0.999
    lora: int | None = None
    condition: tuple[str, ...] = ()
    clip: float | None = None
    precision: str = "no"
    seed: int = 0
    save_every: int = 200

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "patch", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {shown(getattr(self, name))}")
        for name in ("lr", "clip", "pixel_weight"):
            value, least = getattr(self, name), 0.0 if name == "pixel_weight" else math.ulp(0.0)
            if value is not None and not (math.isfinite(value) and value >= least):
                raise ValueError(f"{name} must be a positive number, got {shown(value)}")
        if not self.pixel_weight and not self.losses:
            raise ValueError("nothing to learn from: the pixel loss weighs 0 and no other loss is given")
        check_choice("precision", self.precision, PRECISIONS)
