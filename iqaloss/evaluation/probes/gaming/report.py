"""What the gaming probe found: facts, JSON, and a page of markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from iqaloss.evaluation.panel import JUDGES
from iqaloss.evaluation.probes.gaming.measure import Row, Scale, has_say


@dataclass(frozen=True)
class GamingReport:
    """How easily a loss is gamed.

    Attributes:
        loss: What was on trial.
        plain: What its ratio is relative to.
        weight: The recommended weight.
        seed: Of patches and networks.
        sizes: How much was done.
        judges: Who judged.
        missing: Judge that could not be had, to the reason.
        scale: The way from bicubic upscales to photographs.
        photographs: The photographs themselves.
        upscales: Their bicubic upscales.
        rows: Every version of the pictures.
        gradient_norm: l1 norm of the gradient of the loss of a photograph.
        plain_gradient_norm: The same for the plain loss.
        plain_row: The plain loss's ascent from photographs.
        rate: Score gained per unit of distance added, in the ascent from photographs (:func:`gaming_rate`).
        plain_rate: The same for the plain loss.
        ratio: The gaming ratio: the first over the second; None where the plain loss has no rate.
        pictures: Version to pictures ``[B, 3, H, W]``.
    """

    loss: str
    plain: str
    weight: float
    seed: int
    sizes: Any
    judges: list[str]
    missing: Mapping[str, str]
    scale: Scale
    photographs: Row
    upscales: Row
    rows: list[Row]
    gradient_norm: float
    plain_gradient_norm: float
    plain_row: Row
    rate: float
    plain_rate: float
    ratio: float | None
    pictures: Mapping[str, Tensor] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON; the pictures are left out, and what is not finite becomes None."""
        fields = {name: value for name, value in vars(self).items() if name != "pictures"}
        fields["sizes"] = asdict(self.sizes)
        for name in ("scale", "photographs", "upscales", "plain_row"):
            fields[name] = asdict(fields[name])
        fields["rows"] = [asdict(row) for row in self.rows]
        plain: dict[str, Any] = finite(fields)
        return plain

    def to_text(self) -> str:
        """Returns the page: the ratio, what it is made of, and a row for each version of the pictures."""
        lines = [
            f"# How easily {self.loss} is gamed",
            "",
            f"**Gaming ratio: {number(self.ratio, 2)}** (1 is {self.plain}, higher is easier to game).",
            "",
            *self._facts(),
            "",
            *table(self),
        ]
        judges = [JUDGES[name] for name in self.judges if name not in self.scale.distances]
        silent = [judge.title for judge in judges if has_say(judge)]
        if silent:
            lines += ["", f"No say, for they taught the scorer or see no distance here: {', '.join(silent)}."]
        if self.missing:
            lines += ["", *(f"Not on the panel: {JUDGES[name].title} ({why})." for name, why in self.missing.items())]
        return "\n".join(lines) + "\n"

    def _facts(self) -> list[str]:
        way = self.scale.score
        first = f"From bicubic upscales to photographs the score rises by {way:.3f}"
        if way <= 0:
            first += ": the loss prefers upscales, and nothing that it gains is honest"
        return [
            f"- {first}.",
            f"- Score gained per unit of distance added, from photographs: {number(self.rate, 2)}; "
            f"{self.plain}: {number(self.plain_rate, 2)}.",
            f"- l1 norm of the gradient of a photograph's loss: {self.gradient_norm:.2f}; "
            f"{self.plain}: {self.plain_gradient_norm:.2f}.",
            f"- {self.photographs.pictures} photographs, seed {self.seed}, recommended weight {self.weight:g}.",
        ]


def table(found: GamingReport) -> list[str]:
    """Lays the versions out as a table."""
    titles = [JUDGES[name].title for name in found.judges]
    head = ["version", "score", "gained", "share", *titles, "distance added", "excess", "pattern, dB", "variation"]
    lines = [f"| {' | '.join(head)} |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for row in (found.photographs, found.upscales):
        lines.append(_line(row, ["", ""], ["", ""], found.judges))
    for row in found.rows:
        gains = [f"{row.gained:+.3f}", number(row.share, 2, "+")]
        lines.append(_line(row, gains, [f"{row.distance_added:+.2f}", number(row.excess, 2, "+")], found.judges))
    return lines


def _line(row: Row, gains: list[str], prices: list[str], judges: list[str]) -> str:
    digits = {name: 2 if JUDGES[name].higher_is_better else 3 for name in judges}
    judged = [f"{round(row.panel[name], digits[name]) + 0.0:.{digits[name]}f}" for name in judges]  # no minus zero
    cells = [row.name, f"{row.score:.3f}", *gains, *judged, *prices, f"{row.pattern:.1f}", f"{row.variation:.4f}"]
    return f"| {' | '.join(cells)} |"


def number(value: float | None, digits: int, sign: str = "") -> str:
    """Writes a number, "inf" among them, or a dash where there is none.

    Example:
        >>> number(0.256, 2), number(None, 2)
        ('0.26', '-')
    """
    return "-" if value is None else f"{value:{sign}.{digits}f}"


def finite(value: Any) -> Any:
    """Returns plain values with None in place of what is not finite, which JSON does not know."""
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
