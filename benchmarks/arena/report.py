"""What an arena found: tables, curves and contact sheets."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.arena.contestants import Contestant
from benchmarks.arena.curves import PRICE, Interval, Sweep, draws, gain_at_price
from benchmarks.arena.sweep import BASE
from iqaloss.evaluation.panel import JUDGES

SHOWN = ("score", "pattern")
"""What is shown beside the panel: our own score, and the power of periodic patterns over the original's, in dB."""

DROPS = (0.05, 0.1, 0.2, 0.4)
"""Prices at which losses are compared, in dB of PSNR below L1 alone."""

REPEATS = 1000


def judges_in(sweep: Sweep) -> list[str]:
    """Names of the panel's members that measured, but for PSNR, which is the price."""
    return [name for name in JUDGES if name in sweep.values and name != PRICE]


def independent(contestant: Contestant, judge: str) -> bool:
    """Whether a judge has a say over a contestant: it looks with something else, and taught it nothing."""
    return JUDGES[judge].family not in contestant.families


def table_of_weights(sweeps: Mapping[str, Sweep], who: Mapping[str, Contestant], costs: Mapping[str, float]) -> str:
    """Every weight of every contestant; what its own family or its teachers say is in brackets."""
    judges = judges_in(sweeps[BASE])
    titles = [JUDGES[name].title for name in judges]
    head = ["L1 +", "weight", "PSNR-Y", *titles, "our score", "pattern, dB", "ms a step"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, sweep in sweeps.items():
        for index, weight in enumerate(sweep.weights):
            if weight == 0 and name != BASE:
                continue
            cells = [who[name].title if name != BASE else "nothing", f"{weight:g}", f"{sweep.means(PRICE)[index]:.2f}"]
            for judge in judges:
                value = f"{sweep.means(judge)[index]:.4f}"
                cells.append(value if independent(who[name], judge) else f"({value})")
            own = f"{sweep.means('score')[index]:.3f}"
            cells += [own if who[name].family != "iqaloss" else f"({own})", f"{sweep.means('pattern')[index]:+.1f}"]
            lines.append([*cells, f"{costs[name]:.0f}"])
    return _markdown(lines)


def table_at_price(sweeps: Mapping[str, Sweep], who: Mapping[str, Contestant], drop: float) -> str:
    """What each judge says at the same PSNR, against L1 alone; an asterisk where the interval leaves out zero."""
    base = sweeps[BASE]
    judges = judges_in(base)
    columns = [*judges, "pattern"]
    _, seeds, pictures = base.values[PRICE].shape
    resampled = draws(seeds, pictures, REPEATS)
    head = [f"at {drop:g} dB less PSNR", *(JUDGES[name].title for name in judges), "pattern, dB"]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name, sweep in sweeps.items():
        if name == BASE:
            continue
        cells = [who[name].title]
        for column in columns:
            found = gain_at_price(sweep, base, column, drop, resampled)
            own = column in JUDGES and not independent(who[name], column)
            cells.append(f"({_interval(found)})" if own else _interval(found))
        lines.append(cells)
    return _markdown(lines)


def _interval(found: Interval) -> str:
    if not np.isfinite(found.value):
        return "not reached"
    return f"{found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}]{' *' if found.sure else ''}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def page(
    title: str,
    command: str,
    notes: Sequence[str],
    sweeps: Mapping[str, Sweep],
    who: Mapping[str, Contestant],
    costs: Mapping[str, float],
    absent: Mapping[str, str],
) -> str:
    """Returns the page in Markdown."""
    text = [f"# {title}", "", f"    {command}", ""]
    text += [f"- {note}" for note in notes]
    text += [f"- Not there: {who[name].title}: {why}" for name, why in absent.items()]
    text += ["", "## Every weight", "", table_of_weights(sweeps, who, costs)]
    text += ["## At the same PSNR, minus L1 alone", ""]
    for drop in DROPS:
        text += [table_at_price(sweeps, who, drop)]
    return "\n".join(text)


def command_line(module: str) -> str:
    """The command that is running, without where its folders lie."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return shlex.join(["python", "-m", module, *words])


def draw_curves(sweeps: Mapping[str, Sweep], who: Mapping[str, Contestant], out: Path) -> None:
    """Draws what each judge says over the PSNR; dashed where the judge is of the contestant's family."""
    import matplotlib.pyplot as plt

    judges = [*judges_in(sweeps[BASE]), "pattern"]
    figure, axes = plt.subplots(1, len(judges), figsize=(4.2 * len(judges), 4.2), squeeze=False)
    colors = plt.get_cmap("tab20").colors
    for axis, judge in zip(axes[0], judges):
        for color, (name, sweep) in zip(colors, [item for item in sweeps.items() if item[0] != BASE]):
            own = judge in JUDGES and not independent(who[name], judge)
            axis.plot(
                sweep.means(PRICE), sweep.means(judge), "--" if own else "-", marker="o", ms=3, color=color,
                label=who[name].title,
            )  # fmt: skip
        base = sweeps[BASE]
        axis.plot(base.means(PRICE), base.means(judge), "k*", ms=11, label="L1 alone")
        axis.set_xlabel("PSNR-Y, dB")
        better = "lower is better"
        axis.set_title(f"{JUDGES[judge].title if judge in JUDGES else 'periodic patterns, dB'} ({better})", fontsize=10)
        axis.grid(alpha=0.3)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.14, 1, 1))
    figure.savefig(out, dpi=110)
    plt.close(figure)


def compared_folders(
    sweeps: Mapping[str, Sweep], who: Mapping[str, Contestant], pictures: Path, seed: int, drop: float = 0.1
) -> dict[str, Path]:
    """Chooses what a contact sheet shows: of each contestant the weight whose price is nearest to a drop in dB."""
    folders = {"original": pictures / "original", "L1 alone": pictures / BASE / f"0-{seed}"}
    target = sweeps[BASE].means(PRICE)[0] - drop
    for name, sweep in sweeps.items():
        if name != BASE:
            nearest = 1 + int(np.abs(sweep.means(PRICE)[1:] - target).argmin())
            weight = sweep.weights[nearest]
            folders[f"{who[name].title}\nx {weight:g}"] = pictures / name / f"{weight:g}-{seed}"
    return folders


def contact_sheet(folders: Mapping[str, Path], out: Path, crops: int = 6, cell: int = 224) -> None:
    """Puts pictures side by side: a row for each title, a column for each crop, enlarged pixel by pixel."""
    from PIL import Image, ImageDraw, ImageFont

    label, gap = 190, 4
    files = {title: sorted(folder.glob("*.png")) for title, folder in folders.items()}
    columns = min(crops, max(map(len, files.values())))
    size = (label + columns * (cell + gap), len(files) * (cell + gap))
    sheet, font = Image.new("RGB", size, "white"), ImageFont.load_default(14)
    draw = ImageDraw.Draw(sheet)
    for row, (title, found) in enumerate(files.items()):
        draw.multiline_text((6, row * (cell + gap) + 8), title.replace(", ", ",\n"), "black", font)
        for column, index in enumerate(np.linspace(0, len(found) - 1, min(crops, len(found))).round().astype(int)):
            with Image.open(found[index]) as picture:
                large = picture.resize((cell, cell), Image.Resampling.NEAREST)
            sheet.paste(large, (label + column * (cell + gap), row * (cell + gap)))
    sheet.save(out, quality=88)
