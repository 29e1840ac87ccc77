"""WebDataset shards, read in sequence: images with their labels out of tar files."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from iqaloss.data.images import is_picture
from iqaloss.data.sources import Item, target_of
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

    Raises:
        ValueError: If the file is no tar file, or a label cannot be read.
    """
    compressed = not path.name.endswith(".tar")
    try:
        with tarfile.open(path, "r|*" if compressed else "r:") as tar:
            base, files = "", _Files()
            for member in tar:
                # The list that the module keeps of all members would grow with the shard.
                tar.members = []  # type: ignore[attr-defined]
                if not member.isfile():
                    continue
                folder, _, name = member.name.rpartition("/")
                this = f"{folder}/{name.partition('.')[0]}"
                if this != base and files:
                    yield from _samples(path, files)
                    files = _Files()
                base = this
                if compressed:
                    stream = tar.extractfile(member)
                    files[member.name] = partial(_given, stream.read() if stream is not None else b"")
                else:
                    files[member.name] = partial(_range, path, member.offset_data, member.size)
            yield from _samples(path, files)
    except tarfile.TarError as error:
        raise ValueError(f"cannot read the shard {path}: {error}") from error


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
