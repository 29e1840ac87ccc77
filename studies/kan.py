"""How fast is the spline layer, against the same computation as one dense matrix product?

    python studies/kan.py

The dense formulation concatenates the activated inputs and all bases and multiplies them with one weight, ready
made. Timed is a forward and a backward pass. The formulations take turns and the ratio is the median over the turns,
so that other work on the machine disturbs both alike; the times shown are the fastest. The last column is the layer
with a factor of its own for each spline, as LAR-IQA's release trains it. Exits with an error if the layer takes more
than 1.3 times as long.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional as F

from iqaloss.scorers.layers.kan import KANLinear, spline_bases

LIMIT = 1.3


def dense(x: Tensor, weight: Tensor) -> Tensor:
    """The layer as one matrix product."""
    return F.linear(torch.cat([F.silu(x), spline_bases(x).flatten(1)], dim=1), weight)


def take_turns(steps: list[Callable[[], None]], repeats: int) -> list[list[float]]:
    """Times steps one after the other, again and again; returns the milliseconds of each."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in range(repeats):
        for step, found in zip(steps, times):
            start = time.perf_counter()
            step()
            found.append(1000 * (time.perf_counter() - start))
    return times


def compare(inputs: int, outputs: int, batch: int, repeats: int, *, trained: bool, device: str) -> list[list[float]]:
    """Times the layer, with and without a scaler, and the dense formulation."""
    torch.manual_seed(0)
    layer, scaled = KANLinear(inputs, outputs).to(device), KANLinear(inputs, outputs, scaler=True).to(device)
    weight = torch.cat([layer.base_weight, layer.coefficients().flatten(1)], dim=1).detach()
    x = torch.randn(batch, inputs, device=device, requires_grad=True)
    torch.testing.assert_close(layer(x), dense(x, weight), rtol=1e-4, atol=1e-4)
    for module in (layer, scaled):
        module.requires_grad_(trained)
    weight.requires_grad_(trained)

    def step(function: Callable[[], Tensor], *leaves: Tensor) -> Callable[[], None]:
        def run() -> None:
            torch.autograd.grad(function().sum(), [leaf for leaf in leaves if leaf.requires_grad])
            if device != "cpu":
                torch.cuda.synchronize()

        return run

    steps = [
        step(lambda: layer(x), x, *layer.parameters()),
        step(lambda: dense(x, weight), x, weight),
        step(lambda: scaled(x), x, *scaled.parameters()),
    ]
    take_turns(steps, 3)
    return take_turns(steps, repeats)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    print(f"device {arguments.device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"{'layer':>12} {'batch':>6} {'weights':>8} {'layer ms':>9} {'dense ms':>9} {'ratio':>6} {'with scaler':>12}")
    worst = 0.0
    for inputs, outputs in ((1000, 512), (1024, 1)):
        for batch in (4, 20, 64):
            for trained in (False, True):
                turns = compare(inputs, outputs, batch, arguments.repeats, trained=trained, device=arguments.device)
                layer, single, scaled = (min(times) for times in turns)
                ratio = median(one / other for one, other in zip(*turns[:2]))
                worst = max(worst, ratio)
                kind = "trained" if trained else "frozen"
                print(
                    f"{f'{inputs}->{outputs}':>12} {batch:>6} {kind:>8} {layer:>9.2f} {single:>9.2f} "
                    f"{ratio:>6.2f} {scaled:>12.2f}"
                )
    print(f"slowest: {worst:.2f} times the dense formulation; the limit is {LIMIT}")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
