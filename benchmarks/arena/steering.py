"""Do the dimensions steer? Each dimension's weight is turned up, and the pictures are measured without a network.

    python -m benchmarks.arena.steering --start rlfn.pth --photos TRAIN --originals TEST --seeds 1 2 3 --out FOLDER

For every mode and dimension the network is fine-tuned with L1 plus MDIQALoss, the dimension's weight at 0, 1, 2 and 4
and the others' at 1. A dimension steers in a mode when its own physical measure (see ``physical.py``) moves the wanted
way from each weight to the next, in every seed: upwards without a reference, towards the original's with one.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.arena.contestants import Contestant
from benchmarks.arena.photos import centers, read_originals, read_photos
from benchmarks.arena.physical import OF_DIMENSION, PHYSICAL
from benchmarks.arena.report import command_line
from benchmarks.arena.running import Budget, Setting
from benchmarks.arena.sweep import jobs, rows, run
from benchmarks.arena.tasks import TASKS
from iqaloss._files import write_text
from iqaloss.evaluation.panel import JUDGES, load_panel
from iqaloss.scorers.factory import create_scorer

WEIGHTS = (0.0, 1.0, 2.0, 4.0)
"""Of the dimension; the others weigh 1."""

STRENGTH = {"nr": 0.03, "fr": 1.0, "both": 0.03}
"""Mode to the factor of the whole loss beside L1: enough for a dimension's weight to show in a short training."""

Floats = NDArray[np.float64]


def factor(mode: str, strength: float | None) -> float:
    """Returns the factor of the whole loss: the one that was asked for, or the mode's own."""
    return STRENGTH[mode] if strength is None else strength


def contestant(mode: str, dimension: str, weight: float, strength: float | None = None) -> Contestant:
    """Returns the training of one cell; weight 1 is the same for all dimensions."""
    name = f"{mode}-{dimension}-{weight:g}" if weight != 1 else f"{mode}-all-1"
    loss = {"kind": "iqaloss", "type": "MDIQALoss", "mode": mode, "weights": {dimension: weight}}
    return Contestant(name, name, "iqaloss", (factor(mode, strength),), loss)


@dataclass(frozen=True)
class Cell:
    """One dimension in one mode.

    Attributes:
        values: Name of the measure to ``[weights, seeds, pictures]``.
        originals: The physical measures of the originals ``[pictures]``.
        dimension: Its name.
        mode: Its mode.
    """

    values: Mapping[str, Floats]
    originals: Mapping[str, Floats]
    dimension: str
    mode: str

    def wanted(self) -> Floats:
        """How far its own measure has gone the wanted way ``[weights, seeds]``; larger is better."""
        name, sign = OF_DIMENSION[self.dimension]
        if self.mode == "nr":
            up: Floats = sign * self.values[name].mean(2)
            return up
        gap: Floats = -np.abs(self.values[name] - self.originals[name]).mean(2)
        return gap

    def steers(self) -> bool:
        """Whether it does so from each weight to the next, in every seed."""
        return bool((np.diff(self.wanted(), axis=0) > 0).all())

    def steps(self) -> int:
        """In how many of the steps between weights, over all seeds, it does so."""
        return int((np.diff(self.wanted(), axis=0) > 0).sum())


def cells(
    out: Path,
    seeds: Sequence[int],
    modes: Sequence[str],
    dimensions: Sequence[str],
    originals: Mapping[str, Floats],
    strength: float | None = None,
) -> list[Cell]:
    """Gathers the stored trainings."""
    stored = {}
    for mode, dimension, weight in itertools.product(modes, dimensions, WEIGHTS):
        each = contestant(mode, dimension, weight, strength)
        for job, row in rows(out, jobs({each.name: each}, seeds)):
            stored[job.contestant.name, job.seed] = row["measures"]
    found = []
    for mode, dimension in itertools.product(modes, dimensions):
        names = [contestant(mode, dimension, weight).name for weight in WEIGHTS]
        have = [seed for seed in seeds if all((name, seed) in stored for name in names)]
        if have:
            keys = list(stored[names[0], have[0]])
            values = {key: np.array([[stored[name, seed][key] for seed in have] for name in names]) for key in keys}
            found.append(Cell(values, originals, dimension, mode))
    return found


def page(command: str, notes: Sequence[str], found: Sequence[Cell]) -> str:
    """Returns the tables in Markdown."""
    text = ["# Steering by dimensions", "", f"    {command}", "", *(f"- {note}" for note in notes), ""]
    for mode in dict.fromkeys(cell.mode for cell in found):
        text += [f"## {mode}", "", *_own(mode, found), "", *_matrix(mode, found), ""]
    return "\n".join(text)


def _own(mode: str, found: Sequence[Cell]) -> list[str]:
    judges = [name for name in JUDGES if name in found[0].values]
    head = ["dimension", "measured by", *(f"at {weight:g}" for weight in WEIGHTS), "original", "steps right", "steers"]
    lines = [head, ["---"] * len(head)]
    tail = ["the scorer, 0 to 4", *(f"{JUDGES[name].title}, 0 to 4" for name in judges), "pattern, 0 to 4"]
    lines = [[*line, *extra] for line, extra in zip(lines, (tail, ["---"] * len(tail)))]
    for cell in found:
        if cell.mode == mode:
            name, _ = OF_DIMENSION[cell.dimension]
            means = cell.values[name].mean((1, 2))
            count = 3 * cell.values[name].shape[1]
            moved = [cell.values[key].mean((1, 2)) for key in (cell.dimension, *judges, "pattern")]
            lines.append([
                cell.dimension, name, *(f"{mean:.5f}" for mean in means), f"{cell.originals[name].mean():.5f}",
                f"{cell.steps()} of {count}", "yes" if cell.steers() else "no",
                *(f"{curve[-1] - curve[0]:+.4f}" for curve in moved),
            ])  # fmt: skip
    return ["| " + " | ".join(line) + " |" for line in lines]


def _matrix(mode: str, found: Sequence[Cell]) -> list[str]:
    """How each dimension's weight, from 0 to 4, moves every physical measure, in percent."""
    lines = [["weight of, 0 to 4", *PHYSICAL], ["---", *["---:"] * len(PHYSICAL)]]
    for cell in found:
        if cell.mode == mode:
            curves = [cell.values[name].mean((1, 2)) for name in PHYSICAL]
            lines.append([cell.dimension, *(f"{100 * (curve[-1] / curve[0] - 1):+.2f} %" for curve in curves)])
    return ["| " + " | ".join(line) + " |" for line in lines]


def main() -> None:
    """Trains what is missing and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="x4")
    parser.add_argument("--dimensions", nargs="+", default=list(OF_DIMENSION), choices=OF_DIMENSION)
    parser.add_argument("--start", type=Path, required=True, help="what the network starts from")
    parser.add_argument("--photos", type=Path, required=True, help="originals to learn from")
    parser.add_argument("--originals", type=Path, required=True, help="originals to compare on, which no training sees")
    parser.add_argument("--panel", type=Path, help="folder of weights of the judges")
    parser.add_argument("--judges", nargs="+", default=["psnr_y", "lpips_alex", "dists"], choices=JUDGES)
    parser.add_argument("--modes", nargs="+", default=list(STRENGTH), choices=STRENGTH)
    parser.add_argument("--strength", type=float, help="the whole loss's factor beside L1, in place of each mode's own")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--crops", type=int, default=16)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--device", default="cpu", help="where networks, losses and judges are")
    parser.add_argument("--out", type=Path, default=Path("runs/steering"))
    arguments = parser.parse_args()
    budget = Budget(arguments.steps, None, arguments.batch, arguments.patch, arguments.rate)
    task = TASKS[arguments.task]
    photos = read_photos(arguments.photos, task.paired, budget.patch)
    crops = read_originals(arguments.originals, task.paired, arguments.side, arguments.crops)
    originals, where = centers(crops, arguments.side), arguments.device
    setting = Setting(arguments.task, task.networks[0], arguments.start, budget, photos, originals, where)
    strength = arguments.strength
    all_cells = itertools.product(arguments.modes, arguments.dimensions, WEIGHTS, [strength])
    each = {one.name: one for one in itertools.starmap(contestant, all_cells)}
    panel = load_panel(arguments.judges, arguments.panel, where)
    scorer = create_scorer("mdiqa-mobile").fold().freeze().to(where)
    run(setting, jobs(each, arguments.seeds), arguments.out, panel, scorer, arguments.panel)
    originals = setting.truth
    truth = {name: physical(originals, originals).double().numpy() for name, physical in PHYSICAL.items()}
    notes = [
        f"torch {torch.__version__}; {task.title}; RLFN from {arguments.start.name}; {budget.steps} steps of Adam (at "
        f"most {budget.rate:g}) on {budget.batch} patches of {budget.patch}, seeds "
        f"{', '.join(map(str, arguments.seeds))}; means over {len(originals)} centre crops of {arguments.side}",
        "L1 + " + ", ".join(f"{factor(mode, strength):g} x MDIQALoss in mode {mode}" for mode in arguments.modes),
        f"the losses look with {scorer.card.versioned}",
        "wanted: upwards without a reference (downwards for noise), towards the original's with one",
    ]
    found = cells(arguments.out, arguments.seeds, arguments.modes, arguments.dimensions, truth, strength)
    write_text(arguments.out / "steering.md", page(command_line("benchmarks.arena.steering"), notes, found))
    print(arguments.out / "steering.md")


if __name__ == "__main__":
    main()
