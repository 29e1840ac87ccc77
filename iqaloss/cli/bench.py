"""``iqaloss bench``: what losses cost on this machine."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from iqaloss.cli import options


def bench(
    losses: Annotated[list[str], typer.Argument(metavar="LOSS...", help="Names or expressions, as for iqaloss tune.")],
    side: Annotated[int, typer.Option(help="Side of the pictures.")] = 256,
    batch_size: Annotated[int, typer.Option(help="Pictures in a step.")] = 4,
    repeats: Annotated[int, typer.Option(min=1, help="Steps that are timed, after one that is not.")] = 5,
    device: options.Device = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure what a step of losses costs: operations there and back, counted, and time on this machine.

    Example: iqaloss bench MDIQALoss "MDIQALoss(mode=fr)" --side 192
    """
    from iqaloss._errors import check_device
    from iqaloss._processes import Ranks
    from iqaloss.cli.display import show

    place = check_device(Ranks.from_environment().device(device))
    rows = [_measured(each, side, batch_size, repeats, place) for each in losses]
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        show(rows, f"a step of {batch_size} pictures of {side}x{side} on {place}")


def _measured(text: str, side: int, batch: int, repeats: int, device: str) -> dict[str, Any]:
    import statistics
    import time

    import torch

    from iqaloss.evaluation.probes.gaming.spec import read_loss
    from iqaloss.tuning.costs import counted, finished

    loss = read_loss(text).build().to(device)
    if loss.scheduled:
        loss.set_step(0)
    generator = torch.Generator().manual_seed(0)
    pred, target = (torch.rand(batch, 3, side, side, generator=generator).to(device) for _ in range(2))
    pred.requires_grad_()
    flops, _ = counted(lambda: torch.autograd.grad(loss(pred, target), pred))
    seconds = []
    for _ in range(repeats):
        finished(pred)
        start = time.perf_counter()
        torch.autograd.grad(loss(pred, target), pred)
        finished(pred)
        seconds.append(time.perf_counter() - start)
    return {"loss": text, "GFLOP": flops / 1e9, "milliseconds": 1e3 * statistics.median(seconds)}
