"""WebDataset shards, read as a stream: images with their labels out of tar files."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from iqaloss.data.images import SUFFIXES

_Files = dict[str, Callable[[], bytes]]
"""Files of one sample: name to what reads it."""


@dataclass(frozen=True)
class Sample:
    """An image in a shard.

    Attributes:
        name: Its name in the tar file.
        read: Returns its bytes.
        target: Its human score (``score`` or ``mos`` in the ``.json`` beside it).
        group: Its ``group`` in the ``.json``.
        prompt: Its ``prompt`` in the ``.json``, or the ``.txt`` beside it.
    """

    name: str
    read: Callable[[], bytes]
    target: float | None = None
    group: str | None = None
    prompt: str | None = None


def read_shard(path: Path) -> Iterator[Sample]:
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


def _samples(path: Path, files: _Files) -> Iterator[Sample]:
    labels: dict[str, Any] = {}
    for name, read in files.items():
        if name.endswith(".json"):
            try:
                labels = dict(json.loads(read()))
            except (ValueError, TypeError) as error:
                raise ValueError(f"{path}: cannot read the label {name}: {error}") from error
        elif name.endswith(".txt"):
            labels.setdefault("prompt", read().decode("utf-8").strip())
    score = next((labels[key] for key in ("score", "mos") if labels.get(key) is not None), None)
    for name, read in files.items():
        if name.lower().endswith(SUFFIXES):
            group, prompt = labels.get("group"), labels.get("prompt")
            yield Sample(
                name,
                read,
                None if score is None else float(score),
                None if group is None else str(group),
                None if prompt is None else str(prompt),
            )
