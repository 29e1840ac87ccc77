"""What a loss costs in a training step, ours beside its peers, in one run on the same input.

    python -m benchmarks.loss_cost --quick --json costs.json      256x256 at batch 2, a few minutes
    python -m benchmarks.loss_cost --out benchmarks/results       all sizes, hours; writes loss_cost.{json,md,png}
    python -m benchmarks.loss_cost --budget 30 --rounds 3 --keep-memory --out benchmarks/results      forty minutes
    python -m benchmarks.loss_cost --out benchmarks/results --resume      goes on where a run was cut short
    python -m benchmarks.loss_cost --out benchmarks/results --render      writes page and picture of the JSON again
    python -m benchmarks.loss_cost --device cuda --precision fp32 bf16 --out FOLDER      on a GPU
    python -m benchmarks.loss_cost --sides 256 --batches 1 --only mdiqa-mobile l1      some contestants

Measured are time, peak memory, FLOPs and saved bytes of forward and backward pass for each of our losses; pyiqa's
topiq_nr and topiq_fr as shipped, and the same networks through our wrap; LPIPS, DISTS and torchmetrics' LPIPS; the bare
frozen backbones as the limit; L1; and a whole training step of BasicSR's MSRResNet, RRDBNet and SwinIR. A peer that is
not installed is left out and named. benchmarks/loss_cost/peers.txt says how to install them; pyiqa pins other
packages and wants an environment of its own.

Our other scorers, full size, and the training steps are measured at 256x256 with batches up to 4. What would not fit
into the free memory is left out and named.

Contestants take turns: every round runs each of them once, so that a disturbance hits all alike. Nothing else should
run on the machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

# The profiler's library logs every start and stop unless told otherwise before it is loaded.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import torch

from benchmarks.loss_cost.report import markdown
from benchmarks.loss_cost.rows import Row, read, write
from benchmarks.loss_cost.runner import Runner, Size, everyone
from benchmarks.loss_cost.setting import DEVICES, PRECISIONS, Contestant, Setting, default_weights
from iqaloss._progress import Stages
from scorer_recipes.mdiqa_mobile.speed import keep_memory

SIDES, BATCHES = (64, 128, 256, 512), (1, 4, 16)
ROUNDS, BUDGET = 5, 900.0
QUICK_SIDE, QUICK_BATCH, QUICK_ROUNDS, QUICK_BUDGET = 256, 2, 4, 80.0


def parser() -> argparse.ArgumentParser:
    """Returns the command's options."""
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.loss_cost", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--quick", action="store_true", help=f"{QUICK_SIDE}x{QUICK_SIDE} at batch {QUICK_BATCH} alone")
    made.add_argument("--json", type=Path, metavar="FILE", help="where the rows go, or come from")
    made.add_argument(
        "--out", type=Path, metavar="FOLDER", help="where loss_cost.md, .png and, without --json, .json go"
    )
    made.add_argument("--resume", action="store_true", help="keep the rows that the JSON has and measure the others")
    made.add_argument(
        "--render", action="store_true", help="measure nothing: write page and picture of the JSON's rows"
    )
    made.add_argument("--sides", type=int, nargs="+", metavar="N", default=SIDES, help=f"sides of the crops {SIDES}")
    made.add_argument("--batches", type=int, nargs="+", metavar="N", default=BATCHES, help=f"batches {BATCHES}")
    made.add_argument("--only", nargs="+", metavar="TEXT", help="contestants whose name contains one of these")
    made.add_argument(
        "--rounds", type=int, metavar="N", help=f"rounds of each of two runs ({ROUNDS}; quick {QUICK_ROUNDS})"
    )
    made.add_argument(
        "--budget",
        type=float,
        metavar="S",
        help=f"seconds for the rounds of a size; two are made in any case ({BUDGET:g}; quick {QUICK_BUDGET:g})",
    )
    made.add_argument("--device", choices=DEVICES, default="cpu", help="where (default: cpu)")
    made.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=["fp32"], help="one or both (default: fp32)"
    )
    made.add_argument("--compile", action="store_true", help="time what torch.compile makes of each contestant")
    made.add_argument(
        "--keep-memory", action="store_true", help="let glibc keep freed memory: page faults hit small losses hardest"
    )
    made.add_argument("--threads", type=int, metavar="N", help="threads on a CPU (default: torch's own choice)")
    made.add_argument(
        "--weights",
        type=Path,
        metavar="FOLDER",
        default=default_weights(),
        help="VGG, AlexNet and DISTS weights; random where missing, at the same cost (default: %(default)s)",
    )
    return made


def check(options: argparse.Namespace) -> None:
    """Raises ``ValueError`` for options that make no sense together or here."""
    if options.json is None and options.out is not None:
        options.json = options.out / "loss_cost.json"
    if (options.resume or options.render) and options.json is None:
        raise ValueError("--resume and --render need the rows: give --json FILE or --out FOLDER")
    if options.quick:
        options.sides, options.batches = (QUICK_SIDE,), (QUICK_BATCH,)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    options.budget = options.budget or (QUICK_BUDGET if options.quick else BUDGET)
    for name, least in (("sides", 32), ("batches", 1)):
        if min(getattr(options, name)) < least:
            raise ValueError(f"--{name} must be at least {least}, got {min(getattr(options, name))}")
    if any(side % 8 for side in options.sides):
        raise ValueError(f"--sides must be multiples of 8, got {', '.join(map(str, options.sides))}")
    if min(options.rounds, options.budget) <= 0:
        raise ValueError(f"--rounds and --budget must be positive, got {options.rounds} and {options.budget:g}")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch finds no CUDA device here")


def chosen(options: argparse.Namespace) -> list[Contestant]:
    """Returns the contestants that the options ask for."""
    found = [one for one in everyone() if one.quick or not options.quick]
    if options.only is None:
        return found
    for text in options.only:
        if not any(text in one.name for one in found):
            names = ", ".join(dict.fromkeys(one.name for one in found))
            raise ValueError(f"--only {text}: no contestant has that in its name; there are: {names}")
    return [one for one in found if any(text in one.name for text in options.only)]


def measure(options: argparse.Namespace, progress: Stages) -> tuple[list[Row], dict[str, str]]:
    """Measures what the options ask for; returns all rows, and what was left out and why."""
    rows = read(options.json) if options.resume or options.render else []
    left_out: dict[str, str] = {}
    if options.render:
        return rows, left_out
    sizes = [Size(side, batch) for side in options.sides for batch in options.batches]
    for precision in options.precision:
        setting = Setting(options.device, precision, options.compile, options.weights)
        runner = Runner(setting, rows, options.rounds, options.budget, progress=progress, left_out=left_out)
        if options.json is not None:
            runner.save = lambda: write(options.json, rows)
        runner.run(chosen(options), sizes)
    return rows, left_out


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints or writes the page."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = parser()
    options = command.parse_args(given)
    try:
        check(options)
        chosen(options)
    except ValueError as error:
        command.error(str(error))
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.keep_memory:
        keep_memory()
    warnings.filterwarnings("ignore")  # the peers' own
    with Stages() as progress:
        rows, left_out = measure(options, progress)
    shown_options = [text for text in given if text not in ("--resume", "--render")]
    page = markdown(rows, left_out, " ".join(["python -m benchmarks.loss_cost", *shown_options]))
    if options.out is None:
        print(page)
        return
    from benchmarks.loss_cost.plot import draw

    options.out.mkdir(parents=True, exist_ok=True)
    if rows:
        draw(rows, options.out / "loss_cost.png")
    (options.out / "loss_cost.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
