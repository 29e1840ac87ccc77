"""``python -m examples.demo``: the command behind ``make demo``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from examples.demo.plan import Plan
from examples.demo.report import Row, lines_of
from examples.demo.run import run_demo


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line and runs the demo; returns the exit status."""
    plan = Plan()
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=sys.modules["examples.demo"].__doc__)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="photographs of yours; default: scikit-image's")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="where to write (default: runs/demo)")
    parser.add_argument(
        "--minutes", type=float, default=plan.minutes, help="about how long, on one core (default: %(default)g)"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="another checkpoint of the scorer mdiqa-mobile")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="of torch; more are faster on an idle machine only (default: %(default)d)",
    )
    parser.add_argument("--loss-weight", type=float, default=plan.loss_weight, help="default: %(default)g")
    given = parser.parse_args(arguments)
    try:
        import torch
        from rich.console import Console

        torch.set_num_threads(given.threads)
        if given.weights is not None:
            plan = replace(plan, scorer={"name": "mdiqa-mobile", "weights": str(given.weights.absolute())})
        plan = replace(plan, loss_weight=given.loss_weight).lasting(given.minutes)
        console = Console()
        table = run_demo(plan, given.out, given.data, say=lambda text: console.print(text, style="bold", markup=False))
        _show(table)
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    console.print(f"picture: {given.out / 'comparison.png'}   table: {given.out / 'table.md'}, table.csv", markup=False)
    console.print(f"curves:  tensorboard --logdir {given.out / 'tb_logger'}", markup=False)
    return 0


def _show(table: dict[str, Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    head, *body = lines_of(table)
    shown = Table(title="mean over the held-out photographs; higher is better but where it says lower")
    for index, column in enumerate(head):
        shown.add_column(column, justify="right" if index else "left", overflow="fold")
    for line in body:
        shown.add_row(*line)
    Console().print(shown)


if __name__ == "__main__":
    sys.exit(main())
