"""Published files, fetched when a person asks for them and never else: over https, whole, and compared."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from iqaloss._errors import optional
from iqaloss._files import write_text
from iqaloss.scorers.cards import WeightFile
from iqaloss.scorers.state_dicts import sha256_of

CACHE, OFFLINE = "IQALOSS_CACHE", "IQALOSS_OFFLINE"
"""Environment variables: where files are kept, and (1) that nothing may be fetched."""

_BLOCK = 1 << 16
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Source:
    """How files are fetched.

    Attributes:
        mirror: Address of a folder that holds the files under their published names, in place of their authors'.
            https, or http on this machine itself.
        offline: Whether only the cache is looked into.
        seconds: How long a server may be silent.
    """

    mirror: str | None = None
    offline: bool = False
    seconds: float = 30.0

    @property
    def stays_offline(self) -> bool:
        """Whether nothing is fetched, for this source or by the environment variable."""
        return self.offline or os.environ.get(OFFLINE, "0") not in ("", "0")

    def address(self, url: str) -> str:
        """Returns where a file is fetched from.

        Raises:
            ValueError: If that is not https.

        Example:
            >>> Source(mirror="https://mirror.example/iqa/").address("https://authors.example/files/net.pth?raw=1")
            'https://mirror.example/iqa/net.pth'
        """
        found = url if self.mirror is None else f"{self.mirror.rstrip('/')}/{name_of(url)}"
        self.check(found)
        return found

    def check(self, address: str) -> None:
        """Raises ``ValueError`` for an address that is not https, also where a server sends one on to it."""
        parts = urlsplit(address)
        local = self.mirror is not None and parts.scheme == "http" and parts.hostname in _LOCAL
        if parts.scheme != "https" and not local:
            raise ValueError(f"{address} is not fetched: only https is, or a mirror on this machine")


def name_of(url: str) -> str:
    """Returns the file name that an address ends in."""
    return urlsplit(url).path.rpartition("/")[2]


def cache_folder() -> Path:
    """Returns where files are kept: ``IQALOSS_CACHE``, or the system's place for caches."""
    given = os.environ.get(CACHE)
    return Path(given).expanduser() if given else Path(_pooch().os_cache("iqaloss"))


def get(file: WeightFile, folder: Path, source: Source | None = None) -> Path:
    """Returns a published file, fetched unless it is in the folder.

    It is written aside and renamed when it is whole; a fetch that ended early is gone on with. Where no digest is
    known, the one of the first fetch is kept beside the file, and compared from then on.

    Args:
        file: The file; its card knows the address.
        folder: Where files are kept.
        source: How it is fetched.

    Raises:
        ValueError: If there is no address to fetch it from, it is not the published file, or it may not be fetched.
        OSError: If the server does not answer, stops or says no.
        ImportError: If pooch is not installed.
    """
    source = source or Source()
    if file.url is None:
        raise ValueError(f"{file.role} cannot be fetched by a program: it is published at {file.published_at}")
    address, path = source.address(file.url), folder / name_of(file.url)
    with _alone(folder, path.name):
        if not path.exists():
            _fetch(address, path, file.sha256, source)
        _compare(path, file.sha256)
    return path


def _fetch(address: str, path: Path, known: tuple[str, ...], source: Source) -> None:
    if source.stays_offline:
        raise ValueError(f"{path} is not there, and nothing is fetched offline; it would come from {address}")
    pooch = _pooch()
    digest = f"sha256:{known[0]}" if len(known) == 1 else None
    try:
        pooch.retrieve(address, digest, path.name, path.parent, downloader=_resumed(path, source, known))
    except OSError as error:
        raise OSError(f"{address} could not be fetched: {error}; the same command goes on with it") from error


def _resumed(path: Path, source: Source, known: tuple[str, ...]) -> Callable[[str, str, Any], None]:
    """Returns a downloader for pooch that goes on with what an earlier one left, which pooch's own does not."""
    left = path.with_name(f".{path.name}.incomplete")

    def download(url: str, target: str, _: Any) -> None:
        # Two halves of different files would go unnoticed where no digest is known.
        done = left.stat().st_size if known and left.exists() else 0
        whole = _append(url, left, done, source)
        size = left.stat().st_size
        if whole is not None and size != whole:
            if size > whole:
                left.unlink()
            raise OSError(f"the server promised {whole} bytes and sent {size}")
        left.replace(target)
        if known and sha256_of(target) not in known:
            raise ValueError(f"{url} is another file than the published one: its sha256 is {sha256_of(target)}")

    return download


def _append(url: str, left: Path, done: int, source: Source) -> int | None:
    """Writes what is missing of a file; returns the size that the server promised, if it did."""
    requests = optional("requests", "requests", "download", "fetching a file")
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    with requests.get(url, stream=True, timeout=source.seconds, headers=headers) as answer:
        for hop in (*answer.history, answer):
            source.check(hop.url)
        if answer.status_code == 416:  # nothing is missing, or the server has a shorter file
            return int(answer.headers.get("Content-Range", "*/-1").rpartition("/")[2])
        answer.raise_for_status()
        if answer.headers.get("Content-Type", "").startswith("text/html"):
            raise OSError("the server sent a page in place of the file")
        goes_on = answer.status_code == 206
        length = answer.headers.get("Content-Length")
        with left.open("ab" if goes_on else "wb") as out:
            for block in answer.iter_content(_BLOCK):
                out.write(block)
        return None if length is None else int(length) + (done if goes_on else 0)


def _compare(path: Path, known: tuple[str, ...]) -> None:
    note = path.with_name(f"{path.name}.sha256")
    digest = sha256_of(path)
    if not known and not note.exists():
        write_text(note, f"{digest}\n")
    expected = known or (note.read_text(encoding="utf-8").strip(),)
    if digest not in expected:
        raise ValueError(f"{path} is not the file it was: its sha256 is {digest}, not {expected[0]}; delete it")


@contextlib.contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Lets another process that fetches the same file wait for the first, and find it."""
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock")
        lock.acquire()
    except OSError as error:
        raise OSError(f"cannot write into {folder}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def _pooch() -> Any:
    return optional("pooch", "pooch", "download", "fetching a file")
