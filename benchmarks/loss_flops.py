"""What a loss costs in FLOPs and in memory kept for the backward pass: python -m benchmarks.loss_flops [NAME ...].

Counts do not depend on the machine. `saved` is the size of the distinct tensors that autograd keeps, parameters
and the images left out.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from iqaloss import IQALoss, create_scorer
from iqaloss.losses.iqa_loss import EncodedTarget
from iqaloss.scorers.registry import entry


def count(loss: IQALoss, pred: Tensor, target: Tensor | EncodedTarget | None) -> tuple[int, int, int]:
    """Returns FLOPs forward, FLOPs backward and bytes saved for one step."""
    known = {p.untyped_storage().data_ptr() for p in loss.scorer.parameters()} | {pred.untyped_storage().data_ptr()}
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with FlopCounterMode(display=False) as forward, saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss(pred, target)
    with FlopCounterMode(display=False) as backward:
        torch.autograd.grad(value, pred)
    return forward.get_total_flops(), backward.get_total_flops(), sum(saved.values())


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
            forward, backward, saved = count(IQALoss(scorer, mode), pred, reference)
            ratio = backward / forward
            print(
                f"| {name} | {label} | {forward / 1e9:.2f} | {backward / 1e9:.2f} | {ratio:.3f} | {saved / 2**20:.1f} |"
            )


if __name__ == "__main__":
    main()
