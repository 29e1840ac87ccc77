"""What a person reads of a training: a log file and log lines."""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

from iqaloss.integrations.basicsr.recipe import RecipeError

_LONGEST = 12
"""Messages of more lines, such as a network's description, go to the log file alone."""


@contextlib.contextmanager
def logging_to(file: Path, *, console: bool) -> Iterator[logging.Logger]:
    """Sends BasicSR's log to a file, and to the console if asked, for as long as the context lasts.

    BasicSR's own logger keeps the first file for good, so that a second training in the same process would
    write into it.

    Args:
        file: The log file.
        console: Whether messages of moderate length are shown as well.
    """
    from basicsr.utils import logger as stock
    from rich.logging import RichHandler

    stock.initialized_logger["basicsr"] = True
    log = logging.getLogger("basicsr")
    before = log.handlers[:], log.level, log.propagate
    file_handler = logging.FileHandler(file)
    file_handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s: %(message)s"))
    handlers: list[logging.Handler] = [file_handler]
    if console:
        shown = RichHandler(show_path=False, show_level=False, markup=False, highlighter=None, log_time_format="%X")
        shown.addFilter(lambda record: record.getMessage().count("\n") < _LONGEST)
        handlers.append(shown)
    log.handlers, log.propagate = handlers, False
    log.setLevel(logging.INFO)
    try:
        yield log
    finally:
        file_handler.close()
        log.handlers, log.propagate = before[0], before[2]
        log.setLevel(before[1])


@contextlib.contextmanager
def silent() -> Iterator[logging.Logger]:
    """Lets only errors through: for every process but the first."""
    from basicsr.utils import logger as stock

    stock.initialized_logger["basicsr"] = True
    log = logging.getLogger("basicsr")
    log.setLevel(logging.ERROR)
    yield log


@contextlib.contextmanager
def explained(name: str, log: logging.Logger, file: Path) -> Iterator[None]:
    """Keeps the traceback of an error in the log file, and gives a word from BasicSR's depths one of ours.

    Raises:
        RecipeError: In place of an error of BasicSR's that is about no file or package, with that as the cause.
    """
    try:
        yield
    except Exception as error:
        log.info(traceback.format_exc())
        *_, (frame, _) = traceback.walk_tb(error.__traceback__)
        of_ours = str(frame.f_globals.get("__name__")).startswith("iqaloss.")
        if isinstance(error, (OSError, ImportError)) or (isinstance(error, ValueError) and of_ours):
            raise
        said = f"{type(error).__name__}: {error}".rstrip(": ").partition("\n")[0]
        raise RecipeError(f"BasicSR cannot train the recipe {name!r} ({said}); the traceback is in {file}") from error
