"""What the measured costs must show, and whether they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.loss_cost.rows import Row

Who = tuple[str, str]
SIDE = 256


@dataclass(frozen=True)
class Bar:
    """A ratio of two contestants' costs and what it must be.

    Attributes:
        claim: What it says.
        top: Name and mode whose cost is divided.
        bottom: Name and mode by whose cost it is divided.
        bound: The ratio that is needed.
        least: Whether the ratio must be at least the bound; otherwise at most.
        cost: ``seconds`` or ``peak_bytes``.
    """

    claim: str
    top: Who
    bottom: Who
    bound: float
    least: bool = False
    cost: str = "seconds"

    @property
    def needed(self) -> str:
        """The bound in words."""
        return f"at {'least' if self.least else 'most'} {self.bound:g}"

    def ratio(self, rows: Mapping[Who, Row]) -> float | None:
        """Returns the ratio among rows of one size, or None where one of the two was not measured."""
        if self.top not in rows or self.bottom not in rows:
            return None
        return float(getattr(rows[self.top], self.cost) / getattr(rows[self.bottom], self.cost))

    def met(self, ratio: float) -> bool:
        """Says whether a ratio is good enough."""
        return ratio >= self.bound if self.least else ratio <= self.bound


_MOBILE = "iqaloss:mdiqa-mobile"
_SHIPPED_NR, _SHIPPED_FR = ("pyiqa:topiq_nr", "shipped"), ("pyiqa:topiq_fr", "shipped")

BARS = (
    Bar("topiq_nr: time of pyiqa as shipped over ours", _SHIPPED_NR, ("iqaloss:topiq_nr", "nr"), 1.4, least=True),
    Bar("topiq_fr: time of pyiqa as shipped over ours", _SHIPPED_FR, ("iqaloss:topiq_fr", "fr"), 1.9, least=True),
    Bar(
        "topiq_fr: time of pyiqa as shipped over ours, target encoded once",
        _SHIPPED_FR,
        ("iqaloss:topiq_fr", "fr-encoded"),
        2.5,
        least=True,
    ),
    Bar("topiq_fr: peak memory of ours over pyiqa's", ("iqaloss:topiq_fr", "fr"), _SHIPPED_FR, 0.6, cost="peak_bytes"),
    Bar("mdiqa-mobile, no-reference: time over LPIPS-VGG's", (_MOBILE, "nr"), ("lpips:vgg", "shipped"), 0.1),
    Bar("mdiqa-mobile, full-reference: time over LPIPS-VGG's", (_MOBILE, "fr"), ("lpips:vgg", "shipped"), 0.1),
    Bar("mdiqa-mobile, no-reference: share of an RRDBNet step", (_MOBILE, "nr"), ("basicsr:RRDBNet", "step"), 0.08),
    Bar("mdiqa-mobile, full-reference: share of an RRDBNet step", (_MOBILE, "fr"), ("basicsr:RRDBNet", "step"), 0.08),
    Bar(
        "mdiqa-mobile, no-reference: time over its bare frozen backbone",
        (_MOBILE, "nr"),
        ("backbone:mdiqa-mobile", "nr"),
        1.15,
    ),
    Bar(
        "mdiqa-mobile, no-reference: time over its bare frozen backbone, folded and with channels last",
        (_MOBILE, "nr"),
        ("backbone:mdiqa-mobile", "tuned"),
        1.15,
    ),
    Bar(
        "mdiqa-mobile, no-reference: time over its bare frozen network, heads included",
        (_MOBILE, "nr"),
        ("network:mdiqa-mobile", "nr"),
        1.15,
    ),
    Bar(
        "topiq_nr through our wrap: time over its bare frozen backbone",
        ("iqaloss:topiq_nr", "nr"),
        ("backbone:topiq", "nr"),
        1.15,
    ),
)


def table(rows: Sequence[Row]) -> list[str]:
    """Returns a Markdown table of the bars at 256x256, a column for each batch.

    Args:
        rows: Rows of one device, precision and compilation.
    """
    batches = sorted({row.batch for row in rows if row.side == SIDE})
    if not batches:
        return [f"The bars are stated at {SIDE}x{SIDE}, which was not measured."]
    by_batch = {batch: {(r.name, r.mode): r for r in rows if (r.side, r.batch) == (SIDE, batch)} for batch in batches}
    head = ["at 256x256", "needed", *(f"batch {batch}" for batch in batches), "verdict"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for bar in BARS:
        found = [bar.ratio(by_batch[batch]) for batch in batches]
        known = [ratio for ratio in found if ratio is not None]
        verdict = "not measured" if not known else "met" if all(bar.met(ratio) for ratio in known) else "**missed**"
        cells = ["" if ratio is None else f"{ratio:.3g}" for ratio in found]
        lines.append("| " + " | ".join([bar.claim, bar.needed, *cells, verdict]) + " |")
    return lines
