"""Files that are complete or absent, never half written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path`` to write to; flushed to the disk and renamed when all went well.

    A process that dies at any moment leaves the old file or the new one. The folder is made where it is missing, and
    a failed write leaves no temporary file behind.

    Args:
        path: The file that is to be written.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "deeper" / "notes.txt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_text("all of it")
        >>> target.read_text()
        'all of it'
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: writers such as NumPy's choose by it. Processes and threads do not meet in one file.
    temporary = target.with_name(f".{target.stem}.{os.getpid()}-{id(target):x}.tmp{target.suffix}")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
        _flush(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, content: str) -> None:
    """Writes a whole text file in UTF-8; see :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a whole file; see :func:`replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _flush(path: Path) -> None:
    """Makes sure that a file, or a folder's list of names, is on the disk."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except (PermissionError, IsADirectoryError):  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:  # some network file systems do not flush folders
        if path.is_file():
            raise
    finally:
        os.close(handle)
