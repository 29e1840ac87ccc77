"""Votes on disk while people vote: an SQLite file in which a vote is safe before it is acknowledged."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from iqaloss._errors import check_choice

ANSWERS = ("first", "second", "tie")

TABLE = """
CREATE TABLE IF NOT EXISTS votes (
    number INTEGER PRIMARY KEY, subject TEXT NOT NULL, image TEXT NOT NULL, first TEXT NOT NULL, second TEXT NOT NULL,
    answer TEXT NOT NULL, left TEXT NOT NULL, seconds REAL, time TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ')),
    UNIQUE (subject, image, first, second)
)
"""

ADD = """
INSERT INTO votes (subject, image, first, second, answer, left, seconds) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (subject, image, first, second) DO UPDATE SET answer = excluded.answer, left = excluded.left
"""


@dataclass(frozen=True)
class Ballot:
    """One vote as it is stored; in a catch trial ``first`` and ``second`` are one method, whose ``"first"`` is whole.

    Attributes:
        subject, image, first, second: Who compared which two methods on which picture.
        answer, left: ``"first"``, ``"second"`` or ``"tie"``; and which of the two stood on the left.
        seconds, time: How long the pair was seen, where it is known, and when the vote was cast (UTC).
    """

    subject: str
    image: str
    first: str
    second: str
    answer: str
    left: str = "first"
    seconds: float | None = None
    time: str = ""


class VoteStore:
    """An SQLite file of votes, in WAL mode; each vote is on the disk (``synchronous=FULL``) when ``add`` returns.

    One subject has one vote on a comparison: a second one takes its place, so that a request may be sent again. Several
    threads may use one store, and several processes one file.

    Args:
        path: The file; it is made where it is missing.

    Example:
        >>> import tempfile
        >>> store = VoteStore(Path(tempfile.mkdtemp()) / "votes.sqlite")
        >>> store.add(Ballot("somebody", "x", "A", "B", "first"))
        >>> [ballot.answer for ballot in store]
        ['first']
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self._lock = Path(path), Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._base = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            for setting in ("journal_mode = WAL", "synchronous = FULL"):
                self._base.execute(f"PRAGMA {setting}")
            self._base.execute(TABLE)
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} is no file of votes: {error}") from error

    def add(self, ballot: Ballot) -> None:
        """Writes a vote; it is safe when this returns."""
        check_choice("answer", ballot.answer, ANSWERS)
        values = (ballot.subject, ballot.image, ballot.first, ballot.second, ballot.answer, ballot.left, ballot.seconds)
        with self._lock:
            self._base.execute(ADD, values)

    def undo(self, subject: str) -> bool:
        """Takes a subject's latest vote back; False where there is none."""
        latest = "DELETE FROM votes WHERE number = (SELECT max(number) FROM votes WHERE subject = ?)"
        with self._lock:
            return self._base.execute(latest, (subject,)).rowcount > 0

    def done(self, subject: str) -> set[tuple[str, str, str]]:
        """Returns picture and methods of each comparison that a subject has voted on."""
        with self._lock:
            rows = self._base.execute("SELECT image, first, second FROM votes WHERE subject = ?", (subject,))
            return {(image, first, second) for image, first, second in rows}

    def __iter__(self) -> Iterator[Ballot]:
        columns = "subject, image, first, second, answer, left, seconds, time"
        with self._lock:
            rows = self._base.execute(f"SELECT {columns} FROM votes ORDER BY number").fetchall()
        return (Ballot(*row) for row in rows)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._base.close()

    def __enter__(self) -> VoteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def to_rows(store: VoteStore, caught: float = 0.0) -> list[dict[str, Any]]:
    """Returns votes as rows of the table that ``rank fit`` and ``rank evaluate`` read.

    Catch trials are no votes on methods: how many of them a subject saw, and in how many of these the whole picture was
    preferred, stands in each row of that subject.

    Args:
        store: The votes.
        caught: Leave out subjects who preferred the whole picture in a smaller share of their catch trials.

    Example:
        >>> import tempfile
        >>> store = VoteStore(Path(tempfile.mkdtemp()) / "votes.sqlite")
        >>> store.add(Ballot("somebody", "x", "A", "B", "second"))
        >>> store.add(Ballot("somebody", "x", "A", "A", "first"))
        >>> row, = to_rows(store)
        >>> row["winner"], row["loser"], row["catch_shown"], row["catch_passed"]
        ('B', 'A', 1, 1)
    """
    if not 0 <= caught <= 1:
        raise ValueError(f"caught must be a share in [0, 1], got {caught}")
    shown: dict[str, int] = {}
    passed: dict[str, int] = {}
    for one in store:
        if one.first == one.second:
            shown[one.subject] = shown.get(one.subject, 0) + 1
            passed[one.subject] = passed.get(one.subject, 0) + (one.answer == "first")
    rows = []
    for one in store:
        seen, right = shown.get(one.subject, 0), passed.get(one.subject, 0)
        if one.first != one.second and right >= caught * seen:
            both = (one.second, one.first) if one.answer == "second" else (one.first, one.second)
            rows.append(
                {"winner": both[0], "loser": both[1], "image": one.image, "subject": one.subject,
                 "tie": int(one.answer == "tie"), "left": getattr(one, one.left),
                 "seconds": "" if one.seconds is None else round(one.seconds, 2), "time": one.time,
                 "catch_shown": seen, "catch_passed": right}
            )  # fmt: skip
    return rows
