"""How far a long piece of work is: a bar with the time left in a terminal, else a line now and then."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from iqaloss._text import shown as printable

Advance = Callable[..., None]
"""Takes ``done``, how much is done by now, and by ``note=`` a few words on how it goes."""

EVERY = 30.0
"""Seconds between two lines where there is no terminal."""


@contextlib.contextmanager
def progress(title: str, total: int | None = None, *, start: int = 0, shown: bool = True) -> Iterator[Advance]:
    """Shows how far a piece of work is, on the error stream; yields the function to call when some of it is done.

    Args:
        title: What is done.
        total: How much there is to do, where it is known.
        start: How much was done before.
        shown: Whether to show anything.

    Example:
        >>> with progress("scoring", 10, shown=False) as advance:
        ...     advance(3, note="loss 0.5")
    """
    title = printable(title)
    if not shown:
        yield _nothing
    elif sys.stderr.isatty() and _has_rich():
        with _bar(title, total, start) as advance:
            yield advance
    else:
        yield _Lines(title, total)


def _nothing(done: int, note: str = "") -> None:
    """Shows nothing."""


def _has_rich() -> bool:
    from importlib.util import find_spec

    return find_spec("rich") is not None


@contextlib.contextmanager
def _bar(title: str, total: int | None, start: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=2) as bar:
        task = bar.add_task(title, total=total, completed=start, note="")

        def advance(done: int, note: str = "") -> None:
            bar.update(task, completed=done, note=note)

        yield advance


class _Lines:
    """A line now and then, for logs."""

    def __init__(self, title: str, total: int | None) -> None:
        self.title, self.total = title, total
        self.last = time.monotonic()

    def __call__(self, done: int, note: str = "") -> None:
        """Prints a line when the last one is a while ago, and at the end."""
        if time.monotonic() - self.last < EVERY and done != self.total:
            return
        self.last = time.monotonic()
        of = "" if self.total is None else f" of {self.total}"
        sys.stderr.write(f"{self.title}: {done}{of}{'  ' + note if note else ''}\n")
        sys.stderr.flush()


class Stages:
    """Progress of work in stages, each with a bar of its own; the bar goes when its stage is done.

    Args:
        shown: Whether to show anything.

    Example:
        >>> with Stages(shown=False) as report:
        ...     report("decoding", 1, 10)
        ...     report("training", 5, 200, "loss 0.5")
    """

    def __init__(self, shown: bool = True) -> None:
        self.shown = shown
        self._open = contextlib.ExitStack()
        self._title = ""
        self._advance: Advance = _nothing

    def __call__(self, title: str, done: int, total: int, note: str = "") -> None:
        """Shows that ``done`` of ``total`` are done in a stage."""
        if title != self._title:
            self._open.close()
            self._title = title
            self._advance = self._open.enter_context(progress(title, total, start=done, shown=self.shown))
        self._advance(done, note=note)
        if done >= total:
            self._open.close()
            self._title = ""

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()
