"""Every scorer's parameters and multiply-accumulates, full size, and the tables of docs/scorers.md and README.md.

`python -m benchmarks.scorer_costs` counts and writes, `--no-count` writes with the stored counts. One
multiply-accumulate is two FLOPs of torch's FlopCounterMode; what a scorer does to an image before its network counts
as well. Everything but the counts stands on the scorers' cards.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from iqaloss import create_scorer, list_scorers
from iqaloss._files import write_text
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.registry import entry
from testing.costs import total_flops

ROOT = Path(__file__).parents[1]
COUNTS = ROOT / "benchmarks" / "results" / "scorer_costs.json"
PAGE = ROOT / "docs" / "scorers.md"
README = ROOT / "README.md"
SIDE = 256

INTRODUCTION = """# Scorers

Made by `python -m benchmarks.scorer_costs`. Parameters and multiply-accumulates are those of the published size on one
{side}x{side} image, preprocessing included; LAR-IQA pads it to 1280x1280 as published (its loss does not), MoE-AGIQA
looks at crops of 224x224 and SR-IQA at 15 windows of 224x224. Weights are never downloaded unless you ask for it by
name.
"""
_BETWEEN = re.compile(r"(<!-- scorers -->\n).*?(<!-- /scorers -->)", re.DOTALL)


def count(name: str, side: int = SIDE) -> dict[str, int]:
    """Parameters and multiply-accumulates for one image."""
    scorer = create_scorer(name, weights=None, frozen=True)
    with torch.no_grad():
        flops, _ = total_flops(scorer, torch.rand(1, 3, side, side))
    return {"parameters": sum(p.numel() for p in scorer.parameters()), "macs": flops // 2}


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = ("| " + " | ".join(cells) + " |" for cells in (head, *rows))
    first, *rest = lines
    return "\n".join([first, "|" + "---|" * len(head), *rest]) + "\n"


def cards() -> list[ScorerCard]:
    """The cards, what is in the package first."""
    return sorted((entry(name).card for name in list_scorers()), key=lambda card: (card.embedded is None, card.name))


def page(counts: Mapping[str, Any]) -> str:
    """docs/scorers.md: what stands on each card, and what was counted."""
    side = counts["side"]
    head = ("scorer", "paper", "licence of the published code", "weights", "input", "range", "parameters (M)")

    def rows() -> Iterator[Sequence[str]]:
        for card in cards():
            cost = counts["scorers"][card.name]
            span = "{:g} to {:g}".format(*card.score_range)
            size, macs = f"{cost['parameters'] / 1e6:.1f}", f"{cost['macs'] / 1e9:.2f}"
            yield card.name, card.paper, card.code_license, weights(card), card.input_rule, span, size, macs

    return INTRODUCTION.format(side=side) + "\n" + table((*head, f"GMACs at {side}x{side}"), rows())


def weights(card: ScorerCard) -> str:
    """Says whether a scorer's weights can be had, where, and under which licence."""
    if card.embedded is not None:
        return f"in the package; {card.embedded.license}"
    files = {f"{file.published_at}; licence: {file.license}" for file in card.files if not file.optional}
    return "; ".join(sorted(files)) or "none published"


def readme(text: str) -> str:
    """The README with its table of scorers, between the markers, made new."""
    rows = ((f"`{card.name}`", summary(card), offer(card), card.code_license) for card in cards())
    new = table(("name", "what it is", "weights", "licence of the published code"), rows)
    replaced, found = _BETWEEN.subn(lambda match: match[1] + new + match[2], text)
    if found != 1:
        raise ValueError(f"README.md has {found} places between <!-- scorers --> and <!-- /scorers -->, not one")
    return replaced


def summary(card: ScorerCard) -> str:
    """What a scorer is, and its dimensions."""
    return "; ".join(text for text in (card.title, ", ".join(card.dimensions)) if text)


def offer(card: ScorerCard) -> str:
    """Where weights come from, in a few words."""
    if card.embedded is not None:
        return f"in the package ([card](iqaloss/scorers/weights/{card.name}.md))"
    needed = [file.published_at for file in card.files if not file.optional]
    return "from its authors" if needed and all("://" in place.split(" ")[0] for place in needed) else "none published"


def main() -> None:
    """Counts, stores the counts and writes both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-count", action="store_true", help="write the tables with the stored counts")
    parser.add_argument(
        "--only", nargs="+", choices=list_scorers(), metavar="NAME", help="count these, keep the others"
    )
    options = parser.parse_args()
    if not options.no_count:
        stored = json.loads(COUNTS.read_text())["scorers"] if options.only else {}
        counted = {name: count(name) for name in options.only or list_scorers()}
        counts = {"side": SIDE, "scorers": dict(sorted({**stored, **counted}.items()))}
        write_text(COUNTS, json.dumps(counts, indent=2) + "\n")
    write_text(PAGE, page(json.loads(COUNTS.read_text())))
    write_text(README, readme(README.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
