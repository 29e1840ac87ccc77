"""What a version of the pictures is worth: to the loss on trial, to the panel, and by its patterns."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from iqaloss.evaluation.panel import Judge, Panel
from iqaloss.evaluation.patterns import pattern_rise, total_variation
from iqaloss.evaluation.probes.gaming.subject import Subject

NO_DISTANCE = 1e-6
"""Less perceptual distance than this is none."""


@dataclass(frozen=True)
class Measured:
    """Versions of pictures, each value ``[B]``.

    Attributes:
        score: What the loss on trial says: 1 minus the loss.
        panel: What each judge says.
        pattern: How far periodic patterns rose over the original's, in dB.
        variation: Total variation.
    """

    score: Tensor
    panel: Mapping[str, Tensor]
    pattern: Tensor
    variation: Tensor

    def first(self, count: int) -> Measured:
        """Returns those of the first pictures."""
        panel = {name: values[:count] for name, values in self.panel.items()}
        return Measured(self.score[:count], panel, self.pattern[:count], self.variation[:count])


@dataclass(frozen=True)
class Row:
    """A version of the pictures beside the one that it started from; means over pictures.

    Attributes:
        name: How it was made.
        start: What it started from.
        pictures: How many pictures there were.
        score: What the loss on trial says.
        gained: By how much that rose.
        share: The same in units of the score's rise from bicubic upscales to photographs; None where it falls there.
        panel: What each judge says.
        added: By how much that rose.
        distance_added: Rise of the perceptual distances, in units of the distance from bicubic upscales to
            photographs, mean over the judges; PSNR is not among them. Negative where the pictures became better.
        excess: ``share + distance_added``: what the score claims beyond what the panel grants. An honest score that
            rises by a tenth of the way takes a tenth of the distance away, and has an excess of 0.
        pattern: How far periodic patterns of 2 or 4 pixels rose over the original's, in dB.
        variation: Total variation.
    """

    name: str
    start: str
    pictures: int
    score: float
    gained: float
    share: float | None
    panel: Mapping[str, float]
    added: Mapping[str, float]
    distance_added: float
    excess: float | None
    pattern: float
    variation: float


def as_saved(images: Tensor) -> Tensor:
    """Returns images as a file with 8 bits would hold them."""
    return (images.clamp(0.0, 1.0) * 255.0).round() / 255.0


@dataclass(frozen=True)
class Scale:
    """The way from bicubic upscales to photographs, which all gains and distances are measured by.

    Attributes:
        score: How far the score of the loss on trial rises.
        distances: Perceptual judge to how far the upscales are from the photographs.
    """

    score: float
    distances: Mapping[str, float]

    def distance(self, added: Mapping[str, float]) -> float:
        """Returns distances in units of the scale, mean over the judges.

        Example:
            >>> Scale(0.4, {"dists": 0.2, "vit": 0.5}).distance({"psnr_y": -3.0, "dists": 0.1, "vit": 0.0})
            0.25
        """
        return fmean(added[name] / way for name, way in self.distances.items())


@dataclass(frozen=True)
class Ruler:
    """Measures versions of the same photographs, in units of the way from their bicubic upscales to them.

    Attributes:
        subject: The loss on trial.
        panel: The judges.
        targets: The photographs, ``[B, 3, H, W]``.
    """

    subject: Subject
    panel: Panel
    targets: Tensor

    def measure(self, images: Tensor) -> Measured:
        """Measures versions of the first photographs."""
        shown, targets = as_saved(images), self.targets[: len(images)]
        return Measured(
            self.subject.score(shown, targets),
            self.panel.measure(shown, targets),
            pattern_rise(shown, targets),
            total_variation(shown),
        )

    def row(self, name: str, found: Measured, start: str, before: Measured, scale: Scale) -> Row:
        """Sets a version beside the one that it started from."""
        before = before.first(len(found.score))
        panel = {name: float(values.mean()) for name, values in found.panel.items()}
        added = {name: panel[name] - float(before.panel[name].mean()) for name in panel}
        gained = float((found.score - before.score).mean())
        share = gained / scale.score if scale.score > 0 else None
        distance = scale.distance(added)
        return Row(
            name, start, len(found.score), float(found.score.mean()), gained, share, panel, added, distance,
            None if share is None else share + distance, float(found.pattern.mean()), float(found.variation.mean()),
        )  # fmt: skip


def scale_of(panel: Panel, photographs: Measured, upscales: Measured, taught_by: Sequence[str] = ()) -> Scale:
    """Measures the way from bicubic upscales to photographs.

    Args:
        panel: The judges.
        photographs: The photographs, measured.
        upscales: Their upscales, measured.
        taught_by: Families of judges that have no say.

    Raises:
        ValueError: If no perceptual judge sees any distance there, as in pictures without detail.
    """
    judges = [judge for judge in panel.judges if has_say(judge, taught_by)]
    ways = {judge.name: float(upscales.panel[judge.name].mean()) for judge in judges}
    found = {name: way for name, way in ways.items() if way > NO_DISTANCE}
    if not found:
        raise ValueError("the photographs do not differ from their bicubic upscales: they have no detail to restore")
    return Scale(float((photographs.score - upscales.score).mean()), found)


def has_say(judge: Judge, taught_by: Sequence[str] = ()) -> bool:
    """Whether a judge measures a perceptual distance, as PSNR does not, and taught nothing that is on trial.

    Example:
        >>> from iqaloss.evaluation.panel import JUDGES
        >>> has_say(JUDGES["dists"]), has_say(JUDGES["psnr_y"]), has_say(JUDGES["dists"], ["vgg"])
        (True, False, False)
    """
    return judge.family not in ("pixels", *taught_by)


def gaming_rate(row: Row) -> float:
    """Returns the score gained per unit of perceptual distance added, both in units of the scale.

    A score that did not rise has gained nothing: 0. Infinite where the loss prefers upscales to photographs.
    """
    if row.gained <= 0:
        return 0.0
    if row.share is None or row.distance_added <= NO_DISTANCE:
        return math.inf
    return row.share / row.distance_added


def gaming_ratio(row: Row, plain: Row) -> float | None:
    """Returns a loss's rate over that of the plain loss; None where the plain one has no rate to compare with.

    Example:
        >>> ascent = lambda share: Row("a", "b", 1, 0.9, 0.1, share, {}, {}, 0.5, None, 0.0, 0.0)
        >>> gaming_ratio(ascent(0.2), ascent(0.4))
        0.5
    """
    other = gaming_rate(plain)
    return gaming_rate(row) / other if 0 < other < math.inf else None


def stacked(pictures: list[Tensor]) -> Tensor:
    """Returns photographs of one size as a batch, as a file would hold them."""
    return as_saved(torch.stack(pictures))
