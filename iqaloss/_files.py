"""Files that are complete or absent, never half written."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

_LEFTOVER = re.compile(r"\.\d+-[0-9a-f]+\.tmp(\.\w+)?$")
_FULL = 1 << 16
"""Bytes under which a disk is full."""


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path`` to write to; flushed to the disk and renamed when all went well.

    A process that dies at any moment leaves the old file or the new one. The folder is made where it is missing, and
    a failed write leaves no temporary file behind. Who may read the file is what the user's umask says.

    Args:
        path: The file that is to be written.

    Raises:
        OSError: If it cannot be written, a full disk included, whatever the writer raised; names the file.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "deeper" / "notes.txt"
        >>> with replacing(target) as temporary:
        ...     _ = temporary.write_text("all of it")
        >>> target.read_text()
        'all of it'
    """
    target = Path(path)
    # The suffix stays: writers such as NumPy's choose by it. Processes and threads do not meet in one file.
    temporary = target.with_name(f".{target.stem}.{os.getpid()}-{id(target):x}.tmp{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # some writers keep a file to its owner
        _flush(temporary)
        os.replace(temporary, target)
        _flush(target.parent)
    except Exception as error:
        if not _is_of_writing(error):
            raise
        raise OSError(_why(target, error)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _is_of_writing(error: Exception) -> bool:
    """Whether an error may come from the disk; safetensors and torch have words of their own for it."""
    return isinstance(error, (OSError, RuntimeError)) or type(error).__name__ == "SafetensorError"


def _why(target: Path, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    with contextlib.suppress(OSError):
        if shutil.disk_usage(target.parent).free < _FULL:
            reason = "the disk is full"
    return f"cannot write {target}: {reason}; what was there before is as it was"


def clear_leftovers(folder: Path) -> None:
    """Removes what killed processes left of :func:`replacing` in a folder into which nobody else writes."""
    for path in folder.glob(".*.tmp*"):
        if _LEFTOVER.search(path.name):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: str | Path, used: bool = True) -> Iterator[None]:
    """Keeps other processes from writing into a folder; when this one ends, however, it is free again.

    Args:
        folder: The folder; made when missing.
        used: Whether to lock it at all.

    Raises:
        ValueError: If another process holds it.

    Example:
        >>> import tempfile
        >>> with locked(tempfile.mkdtemp()):
        ...     pass
    """
    if not used:
        yield
        return
    from filelock import FileLock, Timeout

    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
        lock = FileLock(place / ".lock", timeout=0)
        lock.acquire()
    except Timeout as error:
        raise ValueError(f"another run is writing into {place}: wait for its end, or choose another folder") from error
    except OSError as error:
        raise OSError(f"cannot write into {place}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


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
