"""Parameters and multiply-accumulates of every scorer, full size: python -m benchmarks.scorer_costs.

One multiply-accumulate is two FLOPs of
torch's FlopCounterMode; what a scorer does to an image before its network counts as well.
"""

from __future__ import annotations

import argparse

import torch
from torch.utils.flop_counter import FlopCounterMode

from iqaloss import create_scorer, list_scorers


def cost(name: str, side: int) -> tuple[float, float]:
    """Returns millions of parameters and billions of multiply-accumulates for one image."""
    scorer = create_scorer(name, weights=None, frozen=True)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        scorer(torch.rand(1, 3, side, side))
    return sum(p.numel() for p in scorer.parameters()) / 1e6, counter.get_total_flops() / 2e9


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=256, help="side of the square image (default: 256)")
    options = parser.parse_args()
    print(f"| scorer | parameters (M) | GMACs at {options.side}x{options.side} |")
    print("|---|---|---|")
    for name in list_scorers():
        parameters, macs = cost(name, options.side)
        print(f"| {name} | {parameters:.1f} | {macs:.2f} |")


if __name__ == "__main__":
    main()
