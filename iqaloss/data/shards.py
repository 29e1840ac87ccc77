"""WebDataset shards, read in sequence: images with their labels out of tar files."""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from iqaloss.data.images import is_picture
from iqaloss.data.sources import Item, bad_item, target_of
from iqaloss.data.vocabulary import find_roles

_Files = dict[str, Callable[[], bytes]]
"""Files of one sample: name to what reads it."""


@dataclass(frozen=True)
class Shards:
    """WebDataset shards: tar files in which a sample's image may stand beside a ``.json`` with its score."""

    paths: tuple[Path, ...]

    def __iter__(self) -> Iterator[Item]:
        for path in self.paths:
            yield from read_shard(path)


def read_shard(path: Path) -> Iterator[Item]:
    """Yields the images of a shard in order; the files of a sample stand next to each other.

    Of a plain tar file only the headers are read, the images when they are asked for; a compressed one is read whole.
    Where a file ends before its archive does, the images before that place are followed by a bad item.

    Raises:
        ValueError: If the file is no tar file, or a label cannot be read.
    """
    base, files, found = "", _Files(), 0
    try:
        for name, read in _members(path):
            found += 1
            folder, _, last = name.rpartition("/")
            this = f"{folder}/{last.partition('.')[0]}"
            if this != base and files:
                yield from _samples(path, files)
                files = _Files()
            base = this
            files[name] = read
    except _DAMAGE as error:
        if not found:
            raise ValueError(f"cannot read the shard {path}: {error}") from error
        # The sample that was being read lacks a file, or a piece of one.
        yield bad_item(f"{path.name}/{base.lstrip('/')}", f"the shard {path} is cut or damaged here: {error}", path)
        return
    yield from _samples(path, files)


_DAMAGE = (tarfile.TarError, EOFError, OSError, zlib.error)


def _members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yields the files of a tar file, each with what reads it.

    Raises:
        tarfile.TarError: If it ends before the archive does.
    """
    if not path.name.endswith(".tar"):
        with tarfile.open(path, "r|*") as tar:
            for member in _files_of(tar):
                stream = tar.extractfile(member)
                yield member.name, partial(_given, stream.read() if stream is not None else b"")
            _check_ended(tar.fileobj.read(tarfile.BLOCKSIZE))  # type: ignore[union-attr]
        return
    size = path.stat().st_size
    with tarfile.open(path, "r:") as tar, path.open("rb") as file:
        for member in _files_of(tar):
            if member.offset_data + member.size > size:
                raise tarfile.ReadError(f"{member.name} ends at byte {member.offset_data + member.size} of {size}")
            yield member.name, partial(_range, path, member.offset_data, member.size)
        file.seek(tar.offset)  # type: ignore[attr-defined]
        _check_ended(file.read(tarfile.BLOCKSIZE))


def _check_ended(block: bytes) -> None:
    """Raises ``ReadError`` where zeros must close an archive: the module takes the end of the file for its end."""
    if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
        raise tarfile.ReadError("the end of the archive is not there")


def _files_of(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        # The list that the module keeps of all members would grow with the shard.
        tar.members = []  # type: ignore[attr-defined]
        if member.isfile():
            yield member


def _given(content: bytes) -> bytes:
    return content


def _range(path: Path, start: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)


def _samples(path: Path, files: _Files) -> Iterator[Item]:
    labels: dict[str, Any] = {}
    for name, read in files.items():
        if name.endswith(".json"):
            try:
                labels = dict(json.loads(read()))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path}: cannot read the label {name}: {error}") from error
        elif name.endswith(".txt"):
            labels.setdefault("prompt", read().decode("utf-8").strip())
    roles = find_roles(labels)
    score = roles.get("score")
    target = None if score is None else target_of(score, labels[score])
    group, prompt = (_text(labels.get(roles.get(role, ""))) for role in ("group", "prompt"))
    for name, read in files.items():
        if is_picture(name):
            yield Item(f"{path.name}/{name}", read, path, target, group, prompt)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
