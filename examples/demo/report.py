"""The demo's table."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from examples.demo.photos import tiles
from examples.demo.plan import SCALE, Plan
from iqaloss.data.images import to_tensor
from iqaloss.evaluation.panel import JUDGES, Panel
from iqaloss.evaluation.patterns import pattern_rise
from iqaloss.scorers.registry import entry

INDEPENDENT = "Crété sharpness"
"""The sharpness measure that is not ours: one minus the blur of Crété-Roffet et al. (SPIE 6492, 2007)."""

PATTERN = "pattern, dB (lower)"
"""Periodic patterns over those of the truth, at the line that rose most."""

JUDGED = 256
"""The scorer judges tiles of this side, the size of the photographs that it was validated on."""

Row = dict[str, float]


def measure(image: Image.Image, truth: Image.Image, plan: Plan, panel: Panel) -> Row:
    """Measures a restored picture against the true one.

    PSNR and SSIM are BasicSR's, on the Y channel and without the outer :data:`~examples.demo.plan.SCALE` pixels;
    the panel's judges, scikit-image's ``blur_effect`` and the pattern are not the loss's own; the overall score and
    the dimensions are the scorer's, means over tiles of :data:`JUDGED` pixels.
    """
    from basicsr.metrics import calculate_psnr, calculate_ssim
    from skimage.measure import blur_effect

    from iqaloss.integrations.basicsr.metrics import OVERALL, calculate_iqa

    bgr, true_bgr = (np.asarray(picture)[:, :, ::-1] for picture in (image, truth))
    name = plan.scorer if isinstance(plan.scorer, str) else plan.scorer["name"]
    row = {
        "PSNR (Y)": float(calculate_psnr(bgr, true_bgr, SCALE, test_y_channel=True)),
        "SSIM (Y)": float(calculate_ssim(bgr, true_bgr, SCALE, test_y_channel=True)),
    }
    pixels, true_pixels = to_tensor(image)[None], to_tensor(truth)[None]
    row.update(
        {f"{JUDGES[name].title} (lower)": value.item() for name, value in panel.measure(pixels, true_pixels).items()}
    )
    row[INDEPENDENT] = 1.0 - float(blur_effect(np.asarray(image.convert("L"), dtype=np.float64) / 255))
    row[PATTERN] = pattern_rise(pixels, true_pixels).item()
    judged = [np.asarray(tile)[:, :, ::-1] for _, tile in tiles(image, JUDGED)]
    verdicts = [
        {
            dimension: calculate_iqa(tile, scorer=plan.scorer, dimension=dimension)
            for dimension in (OVERALL, *entry(name).card.dimensions)
        }
        for tile in judged
    ]
    return {**row, **average(verdicts)}


def average(rows: Sequence[Row]) -> Row:
    """Returns the mean of each column.

    Example:
        >>> average([{"a": 1.0}, {"a": 2.0}])
        {'a': 1.5}
    """
    return {column: sum(row[column] for row in rows) / len(rows) for column in rows[0]}


def rises(table: Mapping[str, Row], titles: Sequence[str], column: str) -> bool:
    """Tells whether a column rises strictly from title to title.

    Example:
        >>> rises({"a": {"x": 1.0}, "b": {"x": 2.0}}, ["a", "b"], "x")
        True
    """
    values = [table[title][column] for title in titles]
    return all(before < after for before, after in itertools.pairwise(values))


def verdict(table: Mapping[str, Row], plan: Plan) -> list[str]:
    """Says whether sharpness rises with its weight, and what too much of the loss does."""
    plain, usual, steered, much = (run.title for run in plan.runs)
    lines = []
    for column, whose in (("sharpness", "the scorer"), (INDEPENDENT, "a measure that is not ours")):
        titles = [plain, usual, steered]
        values = " -> ".join(f"{table[title][column]:.4f}" for title in titles)
        says = "rises" if rises(table, titles, column) else "does not rise throughout"
        lines.append(f"sharpness by {whose} {says} with its weight: {values} ({', '.join(titles)})")
    judges = [column for column in table[usual] if column.endswith("(lower)")]
    for title in (usual, much):
        worse = [column.removesuffix(" (lower)") for column in judges if table[title][column] > table[plain][column]]
        score = table[title]["score"] - table[plain]["score"]
        says = f"worse than {plain} by {', '.join(worse)}" if worse else f"no worse than {plain} by any of them"
        lines.append(f"{title}: our score {score:+.3f}, judges that are not ours: {says}")
    return lines


def format_value(value: float) -> str:
    """Formats a number for a table; a picture equal to the truth has an infinite PSNR.

    Example:
        >>> format_value(27.123), format_value(0.12345)
        ('27.12', '0.123')
    """
    return f"{value:.2f}" if value >= 10 else f"{value:.3f}"


def lines_of(table: Mapping[str, Row]) -> list[list[str]]:
    """Returns the table with a line for each measure and a column for each title, the titles first.

    Example:
        >>> lines_of({"bicubic": {"PSNR": 28.0}, "network": {"PSNR": 29.0}})
        [['', 'bicubic', 'network'], ['PSNR', '28.00', '29.00']]
    """
    measures = list(next(iter(table.values())))
    return [["", *table], *([name, *(format_value(row[name]) for row in table.values())] for name in measures)]


def markdown(table: Mapping[str, Row], notes: Sequence[str]) -> str:
    """Returns the table in Markdown, with notes below it."""
    head, *body = ("| " + " | ".join(line) + " |" for line in lines_of(table))
    rule = "|---" * (len(table) + 1) + "|"
    return "\n".join([head, rule, *body, "", *(f"- {note}" for note in notes), ""])


def write_csv(path: Path, by_image: Mapping[str, Mapping[str, Row]], table: Mapping[str, Row]) -> None:
    """Writes every picture's row and the means.

    Args:
        path: The file.
        by_image: Picture to title to row.
        table: Title to the mean row.
    """
    columns = list(next(iter(table.values())))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "restored by", *columns])
        for picture, rows in {**by_image, "mean": table}.items():
            writer.writerows([picture, title, *(row[column] for column in columns)] for title, row in rows.items())
