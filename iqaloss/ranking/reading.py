"""Votes and scores as they lie on disk; the layouts of votes are data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from iqaloss._errors import unknown_name
from iqaloss.data.tables import Table, read_table
from iqaloss.data.text_tables import to_floats
from iqaloss.ranking.votes import Floats, Votes, make_votes

MOST_VOTERS = 99  # are looked for behind shares: two rounded decimals would always fit 100
TIED = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False, "": False}


def read_votes(path: str | Path, voters: int | None = None) -> Votes:
    """Reads a table of votes; its columns tell which layout it has.

    Args:
        path: A CSV, TSV, Parquet or Excel file; an error tells the line that is wrong.
        voters: People behind each share of votes; by default the smallest number that makes whole votes of all shares.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "votes.csv"
        >>> _ = path.write_text("winner,loser\\nA,B\\nA,C\\n")
        >>> read_votes(path).methods
        ('A', 'B', 'C')
    """
    table = read_table(path)
    for columns, read in LAYOUTS.items():
        if all(table.find(name) for name in columns):
            return read(table, voters)
    known = "; or ".join(", ".join(columns) for columns in LAYOUTS)
    raise ValueError(f"{path} has the columns {', '.join(table.columns)}; a table of votes has {known}")


def read_scores(path: str | Path) -> dict[str, float]:
    """Reads scores by image from a table with the columns ``image`` and ``score``, a finite number in each row.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "scores.csv"
        >>> _ = path.write_text("image,score\\nA/x.png,0.5\\n")
        >>> read_scores(path)
        {'A/x.png': 0.5}
    """
    table = read_table(path)
    names, scores = _texts(table, "image"), to_floats(table.column("score"))
    for line, name, score in zip(table.lines, names, scores):
        if not np.isfinite(score):
            raise ValueError(f"{path} line {line}: the score of {name} is no finite number")
    return dict(zip(names, map(float, scores)))


def voters_behind(shares: Floats) -> int:
    """Returns the smallest number of voters that makes every share a whole number of votes.

    Example:
        >>> voters_behind(np.array([[2 / 3, 1 / 3], [0.5, 0.5]]))
        6
    """
    for count in range(1, MOST_VOTERS + 1):
        if np.abs(shares * count - np.round(shares * count)).max() < 1e-6 * count:
            return count
    raise ValueError(f"shares of votes fit no number of voters up to {MOST_VOTERS}: say how many there were (voters)")


def _texts(table: Table, column: str) -> list[str]:
    return [str("" if value is None else value).strip().strip("'") for value in table.column(column)]


def _optional(table: Table, column: str) -> list[str] | None:
    return _texts(table, column) if table.find(column) else None


def _read_shares(table: Table, voters: int | None) -> Votes:
    """RealSR-1K: files called ``{image}_{method}.png``, and the share of the voters for each."""
    names = _texts(table, "name1_column"), _texts(table, "name2_column")
    shares = np.stack([to_floats(table.column(name)) for name in ("score1_column", "score2_column")], 1)
    first, second = ([Path(name).stem.rpartition("_") for name in column] for column in names)
    for line, a, b, share in zip(table.lines, first, second, shares):
        if not a[0] or a[0] != b[0]:
            raise ValueError(f"{table.source} line {line}: needs {{image}}_{{method}} twice, got {a} and {b}")
        if not ((share >= 0).all() and abs(share.sum() - 1) < 0.01):  # NaN is caught too
            raise ValueError(f"{table.source} line {line}: shares must add up to 1, got {share.tolist()}")
    cast = shares * (voters or voters_behind(shares))
    if np.abs(cast - np.round(cast)).max() > 0.1:  # shares may be rounded where the number of voters is given
        raise ValueError(f"{table.source}: with {voters} voters some shares are no whole number of votes")
    return make_votes(
        [a[2] for a in first], [b[2] for b in second], np.round(cast), source=table.source, lines=table.lines,
        images=[a[0] for a in first], groups=_optional(table, "group"), outputs=list(zip(*names)),
    )  # fmt: skip


def _read_winners(table: Table, voters: int | None) -> Votes:
    """One vote a row: the method that won, the one that lost; perhaps image, subject, group and whether it is a tie."""
    tied = [value.lower() for value in _optional(table, "tie") or [""] * len(table)]
    for line, value in zip(table.lines, tied):
        if value not in TIED:
            raise ValueError(f"{table.source} line {line}: {unknown_name('tie', value, TIED)}")
    winners, losers, images = _texts(table, "winner"), _texts(table, "loser"), _optional(table, "image")
    return make_votes(
        winners, losers, [(0, 0, 1) if TIED[value] else (1, 0, 0) for value in tied], source=table.source,
        lines=table.lines, images=images, groups=_optional(table, "group"), subjects=_optional(table, "subject"),
        outputs=images and [(f"{a}/{image}", f"{b}/{image}") for a, b, image in zip(winners, losers, images)],
    )  # fmt: skip


def _read_sides(table: Table, voters: int | None) -> Votes:
    """michaelneuder/image_quality_analysis: files ``{image}_{data}_{method}_{layer}.png``, and whether the left won."""
    left, right, answers = (_texts(table, name) for name in ("left_file", "right_file", "response_left"))
    first, second = ([Path(name).stem.split("_") for name in column] for column in (left, right))
    for line, a, b, answer in zip(table.lines, first, second, answers):
        if len(a) < 3 or len(b) < 3 or a[0] != b[0] or answer not in ("0", "1"):
            raise ValueError(f"{table.source} line {line}: needs two files of one image and 0 or 1, got {answer!r}")
    return make_votes(
        [a[2] for a in first], [b[2] for b in second], [(answer == "1", answer == "0") for answer in answers],
        source=table.source, lines=table.lines, images=[a[0] for a in first], outputs=list(zip(left, right)),
    )  # fmt: skip


LAYOUTS: dict[tuple[str, ...], Callable[[Table, int | None], Votes]] = {
    ("name1_column", "name2_column", "score1_column", "score2_column"): _read_shares,
    ("winner", "loser"): _read_winners,
    ("left_file", "right_file", "response_left"): _read_sides,
}
"""The columns by which a layout is known, to its reader."""
