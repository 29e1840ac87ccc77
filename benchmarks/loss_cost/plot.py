"""A picture of how the costs grow with the crop and with the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.loss_cost.rows import Row

OURS, PYIQA, OTHERS = "#1b6ca8", "#c1442e", "#7a7a7a"


@dataclass(frozen=True)
class Line:
    """A contestant in the picture: who, how it is called there, and how it is drawn."""

    name: str
    mode: str
    label: str
    color: str
    style: str = "-"
    marker: str = "o"


LINES = (
    Line("dists", "shipped", "DISTS", OTHERS, ":", "s"),
    Line("lpips:vgg", "shipped", "LPIPS-VGG", OTHERS, "-", "s"),
    Line("lpips:alex", "shipped", "LPIPS-Alex", OTHERS, "--", "s"),
    Line("pyiqa:topiq_fr", "shipped", "topiq_fr, pyiqa as shipped", PYIQA, "-", "^"),
    Line("pyiqa:topiq_nr", "shipped", "topiq_nr, pyiqa as shipped", PYIQA, "--", "^"),
    Line("iqaloss:topiq_fr", "fr", "topiq_fr, iqaloss", OURS, "-", "^"),
    Line("iqaloss:topiq_nr", "nr", "topiq_nr, iqaloss", OURS, "--", "^"),
    Line("iqaloss:mdiqa-mobile", "fr", "mdiqa-mobile fr, iqaloss", OURS, "-"),
    Line("iqaloss:mdiqa-mobile", "nr", "mdiqa-mobile nr, iqaloss", OURS, "--"),
    Line("l1", "fr", "L1", "#000000", ":", "."),
)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draws time and memory over side and batch on log axes, for the first device and precision of the rows.

    Args:
        rows: Everything measured.
        path: The picture to write.

    Raises:
        ValueError: If there are no rows.
    """
    if not rows:
        raise ValueError("there is nothing to draw: no row was measured")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    first = rows[0]
    same = [row for row in rows if row.key[4:] == first.key[4:]]
    batch, side = _most_common([row.batch for row in same]), _most_common([row.side for row in same])
    figure, axes = pyplot.subplots(2, 2, figsize=(11, 8), sharex="col", layout="constrained")
    costs: tuple[tuple[str, Callable[[Row], float]], ...] = (
        ("time of forward and backward (ms)", lambda row: row.seconds * 1e3),
        ("peak memory (MiB)", lambda row: row.peak_bytes / 2**20),
    )
    for (over_side, over_batch), (label, cost) in zip(axes, costs):
        _panel(over_side, [row for row in same if row.batch == batch], lambda row: row.side, cost)
        _panel(over_batch, [row for row in same if row.side == side], lambda row: row.batch, cost)
        over_side.set_ylabel(label)
    axes[1, 0].set_xlabel(f"side of the crop (pixels), batch {batch}")
    axes[1, 1].set_xlabel(f"batch, {side}x{side}")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=9, handlelength=4)
    compiled = ", torch.compile" if first.compiled else ""
    figure.suptitle(f"What a loss costs ({first.device}, {first.precision}{compiled})", fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)


def _most_common(values: Sequence[int]) -> int:
    return max(sorted(set(values)), key=list(values).count)


def _panel(axes: Any, rows: Sequence[Row], across: Callable[[Row], int], cost: Callable[[Row], float]) -> None:
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    for line in LINES:
        points = sorted((across(row), cost(row)) for row in rows if (row.name, row.mode) == (line.name, line.mode))
        if points:
            x, y = zip(*points)
            axes.plot(x, y, line.style, color=line.color, marker=line.marker, markersize=5, label=line.label)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sorted({across(row) for row in rows}))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
