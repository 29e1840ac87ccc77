"""The same tuning once for each of several loss weights, and what came of each on one page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iqaloss._files import write_text
from iqaloss.data.images import to_image
from iqaloss.report.blocks import Block, Facts, Pictures, Table, Text
from iqaloss.report.charts import bars
from iqaloss.report.page import Report, write_report
from iqaloss.report.provenance import versions
from iqaloss.tuning.outcome import AFTER, BEFORE, TRUTH, Outcome
from iqaloss.tuning.settings import TuneSettings


def read_weights(text: str) -> list[float]:
    """Reads the weights of a sweep.

    Raises:
        ValueError: If they are no positive numbers, or fewer than two different ones.

    Example:
        >>> read_weights("0.1, 0.03")
        [0.03, 0.1]
    """
    try:
        found = sorted({float(each) for each in text.split(",")})
    except ValueError:
        found = []
    if len(found) < 2 or not 0 < found[0] <= found[-1] < float("inf"):
        raise ValueError(f"a sweep takes two or more positive weights, such as 0.01,0.03,0.1; got {text!r}")
    return found


def weighed(expression: str, weight: float) -> str:
    """Returns a loss's expression with a weight.

    Raises:
        ValueError: If it has one already, or is a file.

    Example:
        >>> weighed("MDIQALoss", 0.1), weighed("MDIQALoss(sharpness=2)", 0.1)
        ('MDIQALoss(loss_weight=0.1)', 'MDIQALoss(sharpness=2, loss_weight=0.1)')
    """
    if "loss_weight" in expression or expression.endswith((".yml", ".yaml")):
        raise ValueError(f"a sweep gives the loss its weights: write a name or an expression without, not {expression}")
    name, _, options = expression.strip().removesuffix(")").partition("(")
    given = f"{options.strip()}, " if options.strip() else ""
    return f"{name}({given}loss_weight={weight:g})"


def swept(settings: TuneSettings, weights: Sequence[float]) -> dict[str, TuneSettings]:
    """Returns the settings of each tuning, by the name of its folder.

    Example:
        >>> [each.losses for each in swept(TuneSettings("4x.pth", "photos"), [0.1]).values()]
        [('MDIQALoss(loss_weight=0.1)',)]
    """
    if len(settings.losses) != 1:
        raise ValueError(f"a sweep varies the weight of one loss, got {len(settings.losses)}: {settings.losses}")
    return {
        f"weight_{weight:g}": dataclasses.replace(settings, losses=(weighed(settings.losses[0], weight),))
        for weight in weights
    }


def write_sweep(outcomes: Mapping[float, Outcome], settings: TuneSettings, out: str | Path) -> Path:
    """Writes ``sweep.json`` and ``report.html`` about all tunings; returns the latter.

    Args:
        outcomes: Weight to what its tuning did, all on the same held-out photographs.
        settings: What they have in common.
        out: Folder that holds the tunings' own folders.
    """
    rows = rows_of(outcomes)
    told: dict[str, Any] = {"settings": dataclasses.asdict(settings), "versions": versions(), "rows": rows}
    write_text(Path(out) / "sweep.json", json.dumps(told, indent=1) + "\n")
    first = next(iter(outcomes.values()))
    note = (
        f"Means over {len(first.names)} held-out photographs; PSNR of the luminance in dB, scores by {first.scorer}, "
        "higher is better. A loss raises its own score: let PSNR, and your eyes, say how far is too far."
    )
    blocks: list[Block] = [
        Pictures("Pictures", pictures(outcomes), slider=(BEFORE, title_of(list(outcomes)[-1]))),
        Table("Figures", rows, note),
        *_charts(rows),
        Facts("Settings", told["settings"]),
        Facts("Versions", told["versions"]),
    ]
    title = f"{Path(settings.model).name} tuned with {settings.losses[0]} at {len(outcomes)} weights"
    report = Report(title, f"{settings.steps} steps each; each has a report of its own.", blocks)
    return write_report(report, Path(out) / "report.html")


def title_of(weight: float) -> str:
    """What a weight's version of a picture is called."""
    return f"weight {weight:g}"


def rows_of(outcomes: Mapping[float, Outcome]) -> list[dict[str, Any]]:
    """Returns the means of the given network, of each tuned one, and of the true photographs."""
    means = {weight: {row["version"]: row for row in outcome.means()} for weight, outcome in outcomes.items()}
    first = next(iter(means.values()))
    tuned = [{**rows[AFTER], "version": title_of(weight)} for weight, rows in means.items()]
    return [first[BEFORE], *tuned, first[TRUTH]]


def pictures(outcomes: Mapping[float, Outcome]) -> dict[str, dict[str, Any]]:
    """Returns the versions of each held-out photograph."""
    first = next(iter(outcomes.values()))
    found = {}
    for index, name in enumerate(first.names):
        tuned = {title_of(weight): outcome.images[AFTER][index] for weight, outcome in outcomes.items()}
        shown = {BEFORE: first.images[BEFORE][index], **tuned, TRUTH: first.images[TRUTH][index]}
        found[name] = {title: to_image(image) for title, image in shown.items()}
    return found


def _charts(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    """The charts; where matplotlib is not installed a line that says so."""
    restored = [row for row in rows if row["PSNR"] is not None]
    lost = {row["version"]: row["PSNR"] - restored[0]["PSNR"] for row in restored[1:]}
    names = [name for name in rows[0] if name not in ("version", "PSNR")]
    try:
        return [
            bars("PSNR lost", {"PSNR": lost}, label="dB against before"),
            bars("Scores", {row["version"]: {name: row[name] for name in names} for row in restored}),
        ]
    except ImportError as error:
        return [Text("Charts", [str(error)])]
