"""Results as text and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from iqaloss.evaluation.agreement.metrics import NAMES

HEADINGS = {
    "srcc": "SRCC",
    "plcc": "PLCC",
    "plcc_fit": "PLCC fit",
    "krcc": "KRCC",
    "rmse": "RMSE",
    "mae": "MAE",
    "rmse_raw": "RMSE raw",
    "mae_raw": "MAE raw",
    "two_afc": "2AFC",
    "main_score": "Main",
}
"""What people call the measures."""


def to_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns a table with a line for each row of :func:`iqaloss.evaluation.evaluate.table_rows`.

    The half width of the confidence interval of SRCC stands behind it.
    """
    grouped = any(row["group"] for row in rows)
    head = ["scorer", "dataset", *(["group"] if grouped else []), "n", *HEADINGS.values()]
    body = []
    for row in rows:
        label = [row["scorer"], row["dataset"], *([row["group"] or "(all)"] if grouped else []), str(row["n"])]
        body.append(label + [_cell(row, name) for name in NAMES])
    widths = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in [head, *body]]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def _cell(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if value is None:
        return "-"
    low, high = row["ci"].get(name, (None, None))
    spread = f" ±{(high - low) / 2:.3f}" if name == "srcc" and low is not None and high is not None else ""
    return f"{value:.4f}{spread}"


def to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Returns the rows as CSV, with the ends of each confidence interval in columns of their own."""
    columns = ["scorer", "dataset", "group", "n"]
    for name in NAMES:
        columns += [name, f"{name}_low", f"{name}_high"]
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        flat = {name: row[name] for name in ("scorer", "dataset", "group", "n", *NAMES)}
        for name, (low, high) in row["ci"].items():
            flat |= {f"{name}_low": low, f"{name}_high": high}
        writer.writerow(flat)
    return out.getvalue()
