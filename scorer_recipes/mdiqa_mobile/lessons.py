"""What the training teaches of each degradation: how far its dimension falls, and what else it may move."""

from __future__ import annotations

from dataclasses import dataclass

from iqaloss.evaluation.probes.degradations import DEGRADATIONS, Degradation


@dataclass(frozen=True)
class Lesson:
    """A degradation and its targets.

    Attributes:
        degradation: What is done to a photograph.
        fall: How far the dimension's target falls at full strength.
        onset: Strength up to which the dimension does not fall (mild sharpening is no fault, and a photograph
            is taken as bright as it may be: were mild brightening a fault, mild darkening would be a merit).
        free: Other dimensions that it may move: they are given no target.
        upscales: Whether it is an enlarged image: what super-resolution starts from, or makes of that.
    """

    degradation: Degradation
    fall: float = 0.7
    onset: float = 0.0
    free: tuple[str, ...] = ()
    upscales: bool = False

    @property
    def dimension(self) -> str:
        """The dimension that falls."""
        return self.degradation.dimension

    def target_fall(self, strength: float) -> float:
        """Returns how far the target falls below the clean photograph's."""
        return self.fall * max(0.0, strength - self.onset) / (1.0 - self.onset)


_FACTS: dict[str, dict[str, object]] = {
    "over-exposure": {"fall": 0.5, "onset": 0.1},
    "gamma-dark": {"fall": 0.6},
    "gamma-bright": {"fall": 0.45, "onset": 0.2},
    "over-saturation": {"fall": 0.5, "onset": 0.1, "free": ("contrast",)},
    "over-contrast": {"fall": 0.6, "onset": 0.1, "free": ("colorfulness",)},
    "jpeg": {"fall": 0.6, "free": ("sharpness",)},
    "upscaling": {"upscales": True},
    "over-smoothing": {"fall": 0.6},
    "over-sharpening": {"fall": 0.4, "onset": 0.2, "free": ("noisiness", "contrast")},
}

LESSONS = tuple(Lesson(item, **_FACTS.get(item.name, {})) for item in DEGRADATIONS)  # type: ignore[arg-type]
"""A lesson for every known degradation, in their order."""
