"""Progress on one line of the standard error stream."""

from __future__ import annotations

import sys
import time


class Progress:
    """Shows how far a long job is: at most four times a second on a terminal, every ten seconds in a log file."""

    def __init__(self) -> None:
        self.last = -1e9

    def __call__(self, what: str, done: int, total: int, note: str = "") -> None:
        """Shows that ``done`` of ``total`` items are done."""
        terminal = sys.stderr.isatty()
        now = time.monotonic()
        if now - self.last < (0.25 if terminal else 10.0) and done < total:
            return
        self.last = now
        sys.stderr.write(f"{what} {done}/{total} {note}" + ("\x1b[K\r" if terminal else "\n"))
        sys.stderr.flush()

    @staticmethod
    def line(text: str) -> None:
        """Writes a result to the standard output stream."""
        sys.stdout.write(text + "\n")
