"""What folding gains: python -m studies.fold_gain [NAME ...].

Each scorer is measured as a loss, forward and backward, as it was built, with its batch norms folded, and with all
that `fold()` does, which for MDIQA joins the heads as well. FLOPs, saved bytes and the number of operations do not
depend on the machine; the times are the best of several rounds in which the forms take turns. On a CPU, one thread
computes and its processor time counts, which other programs disturb less than they disturb the clock on the wall.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from iqaloss import IQALoss, create_scorer
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.registry import entry
from testing.costs import loss_costs, operations


def norms_folded(scorer: Scorer) -> Scorer:
    """Folds the batch norms alone."""
    Scorer.rewrite(scorer)
    return scorer


FORMS: dict[str, Callable[[Scorer], Scorer]] = {
    "as built": lambda scorer: scorer,
    "norms folded": norms_folded,
    "fold()": lambda scorer: scorer.fold(),
}


def step(loss: IQALoss, pred: Tensor, target: Tensor) -> None:
    """One forward and one backward pass."""
    pred.grad = None
    loss(pred, target).backward()


def seconds(losses: list[IQALoss], pred: Tensor, target: Tensor, rounds: int) -> list[float]:
    """Returns the best time of a step of each loss."""
    best = [float("inf")] * len(losses)
    now = time.perf_counter if pred.is_cuda else time.process_time
    for _ in range(rounds + 1):
        for index, loss in enumerate(losses):
            if pred.is_cuda:
                torch.cuda.synchronize()
            start = now()
            step(loss, pred, target)
            if pred.is_cuda:
                torch.cuda.synchronize()
            best[index] = min(best[index], now() - start)
    return best


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default=["mdiqa-mobile"], help="scorers (mdiqa-mobile)")
    parser.add_argument("--side", type=int, default=256, help="side of the square images (default: 256)")
    parser.add_argument("--batch", type=int, default=2, help="images in a batch (default: 2)")
    parser.add_argument("--rounds", type=int, default=10, help="measured steps of each form (default: 10)")
    parser.add_argument("--mode", default="nr", help="nr, fr or both (default: nr)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{options.mode}, {options.side} x {options.side}, batch {options.batch}, {options.device}")
    print("| scorer | form | modules | operations | FLOPs forward + backward, G | saved MiB | ms | times faster |")
    print("|---|---|---|---|---|---|---|---|")
    for name in options.names:
        known = entry(name).card.embedded is not None
        scorer = (create_scorer(name) if known else create_scorer(name, weights=None)).freeze().to(options.device)
        losses = [IQALoss(change(scorer.copy()), options.mode) for change in FORMS.values()]
        pred, target = torch.rand(2, options.batch, 3, options.side, options.side, device=options.device)
        pred.requires_grad_()
        times = seconds(losses, pred, target, options.rounds)
        for form, loss, taken in zip(FORMS, losses, times):
            costs = loss_costs(loss, pred, target)
            print(
                f"| {name} | {form} | {len(list(loss.scorer.modules()))} | {operations(step, loss, pred, target)} "
                f"| {(costs.forward_flops + costs.backward_flops) / 1e9:.2f} | {costs.saved_bytes / 2**20:.1f} "
                f"| {1e3 * taken:.1f} "
                f"| {times[0] / taken:.2f} |"
            )


if __name__ == "__main__":
    main()
