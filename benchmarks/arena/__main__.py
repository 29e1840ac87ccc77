"""The arena: the same network from the same start with the same budget, one loss after another.

    python -m benchmarks.arena --quick --start rlfn.pth --photos TRAIN --originals TEST --panel WEIGHTS
    python -m benchmarks.arena --seeds 1 2 3 --out FOLDER ...                     the whole table; goes on if stopped
    python -m benchmarks.arena --task denoise --start denoise.safetensors ...     denoise, deblur: see arena.start
    python -m benchmarks.arena --contestants FOLDER ...                           yours too: a YAML file each

Each contestant is L1 plus a weighted loss. Its weight is swept; losses are compared at the same PSNR, with intervals
from a bootstrap over pictures and seeds, and as they are. A judge of the same family as the loss has no say (it stands
in brackets). Weights of judges and of others' losses are read from --panel.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.arena import report
from benchmarks.arena.contestants import FOLDER, Contestant, contestants
from benchmarks.arena.curves import Sweep
from benchmarks.arena.networks import NETWORKS
from benchmarks.arena.photos import centers, read_originals, read_photos
from benchmarks.arena.running import Budget, Setting
from benchmarks.arena.sweep import BASE, jobs, run, sweeps
from benchmarks.arena.tasks import TASKS
from iqaloss._errors import unknown_name
from iqaloss._files import write_text
from iqaloss.evaluation.panel import load_panel
from iqaloss.scorers.factory import create_scorer
from iqaloss.scorers.registry import entry

QUICK = Budget(steps=60, batch=2, patch=96)


def parsed() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="x4")
    parser.add_argument("--network", choices=NETWORKS, help="the task's first by default")
    parser.add_argument("--start", type=Path, required=True, help="what the network starts from")
    parser.add_argument("--photos", type=Path, required=True, help="originals to learn from")
    parser.add_argument("--originals", type=Path, required=True, help="originals to compare on, which no training sees")
    parser.add_argument("--panel", type=Path, help="folder of weights of judges and of others' losses")
    parser.add_argument("--contestants", type=Path, action="append", default=[], help="folder of more contestants")
    parser.add_argument("--only", nargs="+", help="names of the contestants that take part")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--steps", type=int, help=f"of Adam; {Budget.steps}, or {QUICK.steps} when quick")
    parser.add_argument("--seconds", type=float, help="a budget in time instead of in steps: of processor on a CPU")
    parser.add_argument("--batch", type=int, help=f"patches in a step; {Budget.batch}, or {QUICK.batch} when quick")
    parser.add_argument("--patch", type=int, help=f"their side; {Budget.patch}, or {QUICK.patch} when quick")
    parser.add_argument("--rate", type=float, default=Budget.rate, help="learning rate")
    parser.add_argument("--crops", type=int, default=16, help="how many crops to compare on")
    parser.add_argument("--side", type=int, default=192, help="their side")
    parser.add_argument("--device", default="cpu", help="where networks, losses and judges are")
    parser.add_argument("--quick", action="store_true", help="60 steps of 2 patches of 96, 8 crops of 128")
    parser.add_argument("--out", type=Path, default=Path("runs/arena"))
    return parser.parse_args()


def chosen(arguments: argparse.Namespace) -> dict[str, Contestant]:
    """Returns who takes part; L1 alone always does."""
    known = contestants((FOLDER, *arguments.contestants))
    for name in arguments.only or ():
        if name not in known:
            raise SystemExit(unknown_name("contestant", name, list(known)))
    return {name: each for name, each in known.items() if not arguments.only or name in (BASE, *arguments.only)}


def read_setting(arguments: argparse.Namespace) -> Setting:
    """Reads the photographs."""
    budget = QUICK if arguments.quick else Budget()
    given = {name: getattr(arguments, name) for name in ("steps", "batch", "patch", "rate", "seconds")}
    budget = replace(budget, **{name: value for name, value in given.items() if value is not None})
    side, crops = (128, 8) if arguments.quick else (arguments.side, arguments.crops)
    network = arguments.network or TASKS[arguments.task].networks[0]
    paired = TASKS[arguments.task].paired
    photos = read_photos(arguments.photos, paired, budget.patch)
    originals = centers(read_originals(arguments.originals, paired, side, crops), side)
    return Setting(arguments.task, network, arguments.start, budget, photos, originals, arguments.device)


def main() -> None:
    """Trains what is missing and writes the page."""
    arguments = parsed()
    setting, panel = read_setting(arguments), load_panel(folder=arguments.panel, device=arguments.device)
    who = chosen(arguments)
    todo = jobs(who, arguments.seeds)
    out = arguments.out / arguments.task
    scorer = create_scorer("mdiqa-mobile").fold().freeze().to(arguments.device)
    absent = run(setting, todo, out, panel, scorer, arguments.panel)
    found, costs = sweeps(out, todo)
    notes = notes_of(setting, found[BASE], panel.missing)
    title = f"{TASKS[setting.task].title}: {NETWORKS[setting.network].title}"
    write_text(
        out / "arena.md", report.page(title, report.command_line("benchmarks.arena"), notes, found, who, costs, absent)
    )
    report.draw_curves(found, who, out / "arena.png")
    folders = report.compared_folders(found, who, out / "pictures", min(arguments.seeds))
    report.contact_sheet(folders, out / "arena.jpg")
    print(out / "arena.md")


def notes_of(setting: Setting, base: Sweep, missing: dict[str, str]) -> list[str]:
    """What a reader must know of the numbers."""
    budget, (_, seeds, pictures) = setting.budget, base.values["psnr_y"].shape
    length = f"{budget.steps} steps" if budget.seconds is None else f"{budget.seconds:g} seconds of training"
    return [
        f"torch {torch.__version__}; {length} of Adam (at most {budget.rate:g}) on {budget.batch} patches of "
        f"{budget.patch} x {budget.patch}, from {len(setting.photos)} photographs; "
        f"{seeds} seed{'s' * (seeds > 1)}; start: {setting.start.name}",
        f"means over {pictures} centre crops of {setting.originals.shape[-1]} x {setting.originals.shape[-1]} of "
        "photographs that no training saw",
        "PSNR on the luminance, higher is better; the judges are distances to the original, lower is better; in "
        "brackets: the judge looks with the same kind of network as the loss, or taught its scorer, and has no say",
        "pattern: power of the spectrum at periods of two and four pixels over its neighbours, restored minus "
        "original, at the line that rose most",
        "ms a step: the least of a contestant's runs; of processor on a CPU, all threads together",
        "[low, high]: 95 % of a paired bootstrap over pictures and seeds; *: it leaves out zero",
        f"our losses look with {entry('mdiqa-mobile').card.versioned}",
        *(f"no judge: {name}: {why}" for name, why in missing.items()),
    ]


if __name__ == "__main__":
    main()
