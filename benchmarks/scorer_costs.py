"""Every scorer: its card, its parameters and its multiply-accumulates, full size: python -m benchmarks.scorer_costs.

One multiply-accumulate is two FLOPs of
torch's FlopCounterMode; what a scorer does to an image before its network counts as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch
from torch.utils.flop_counter import FlopCounterMode

from iqaloss import create_scorer, list_scorers
from iqaloss.scorers.cards import ScorerCard
from iqaloss.scorers.registry import entry


def cost(name: str, side: int) -> tuple[float, float]:
    """Returns millions of parameters and billions of multiply-accumulates for one image."""
    scorer = create_scorer(name, weights=None, frozen=True)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        scorer(torch.rand(1, 3, side, side))
    return sum(p.numel() for p in scorer.parameters()) / 1e6, counter.get_total_flops() / 2e9


def rows(side: int) -> Iterator[str]:
    """Yields the lines of a Markdown table: what stands on each card, and what was measured."""
    head = ("scorer", "paper", "licence of the published code", "weights", "input", "range")
    yield "| " + " | ".join((*head, "parameters (M)", f"GMACs at {side}x{side}")) + " |"
    yield "|" + "---|" * (len(head) + 2)
    for name in list_scorers():
        card = entry(name).card
        parameters, macs = cost(name, side)
        span = "{:g} to {:g}".format(*card.score_range)
        cells = (name, card.paper, card.code_license, weights(card), card.input_rule, span)
        yield "| " + " | ".join((*cells, f"{parameters:.1f}", f"{macs:.2f}")) + " |"


def weights(card: ScorerCard) -> str:
    """Says whether a scorer's weights can be had, where, and under which licence."""
    if card.embedded is not None:
        return f"in the package; {card.embedded.license}"
    files = {f"{file.published_at}; licence: {file.license}" for file in card.files if not file.optional}
    return "; ".join(sorted(files)) or "none published"


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256, help="side of the square image (default: 256)")
    for line in rows(parser.parse_args().side):
        print(line, flush=True)


if __name__ == "__main__":
    main()
