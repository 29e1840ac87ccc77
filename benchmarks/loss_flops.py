"""What a loss costs in FLOPs and in memory kept for the backward pass: python -m benchmarks.loss_flops [NAME ...].

Counts do not depend on the machine. `saved` is the size of the distinct tensors that autograd keeps, parameters
and the images left out.
"""

from __future__ import annotations

import argparse

import torch

from iqaloss import IQALoss, create_scorer
from iqaloss.scorers.registry import entry
from testing.costs import loss_costs


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default=["mdiqa-mobile"], help="scorers (mdiqa-mobile)")
    parser.add_argument("--side", type=int, default=256, help="side of the square images (default: 256)")
    parser.add_argument("--batch", type=int, default=1, help="images in a batch (default: 1)")
    options = parser.parse_args()
    print("| scorer | mode | forward GFLOPs | backward GFLOPs | backward / forward | saved MiB |")
    print("|---|---|---|---|---|---|")
    for name in options.names:
        known = entry(name).card.embedded is not None
        scorer = create_scorer(name) if known else create_scorer(name, weights=None)
        pred, target = torch.rand(2, options.batch, 3, options.side, options.side)
        pred.requires_grad_()
        rows = [
            ("no-reference", "nr", None),
            ("full-reference", "fr", target),
            ("full-reference, encoded target", "fr", IQALoss(scorer, "fr").encode(target)),
        ]
        for label, mode, reference in rows:
            costs = loss_costs(IQALoss(scorer, mode), pred, reference)
            forward, backward, saved = costs.forward_flops / 1e9, costs.backward_flops / 1e9, costs.saved_bytes / 2**20
            print(f"| {name} | {label} | {forward:.2f} | {backward:.2f} | {backward / forward:.3f} | {saved:.1f} |")


if __name__ == "__main__":
    main()
