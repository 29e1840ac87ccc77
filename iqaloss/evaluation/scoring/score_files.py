"""Scores on disk: Parquet files of so many rows each, written as the work goes on and trusted when it resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from iqaloss._files import replacing, write_bytes
from iqaloss.data.sources import Item
from iqaloss.data.tables import parquet_module

FORMAT = "1"
_DIGEST = b"iqaloss.digest"


@dataclass(frozen=True)
class Row:
    """The result of one image.

    Attributes:
        image: Its key.
        score: Its overall score; None if it could not be scored.
        dimensions: Scores of the dimensions.
        target: Its human score.
        group: Its group.
        error: Why it could not be scored.
    """

    image: str
    score: float | None = None
    dimensions: Mapping[str, float] | None = None
    target: float | None = None
    group: str | None = None
    error: str | None = None


def fingerprint(scorer: nn.Module) -> str:
    """Returns a digest of a scorer's weights: scores of another model must not be taken for its own."""
    digest = hashlib.sha256()
    for name, value in sorted(scorer.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().float().numpy().tobytes())
    return digest.hexdigest()


def digest_of(items: Sequence[Item]) -> str:
    """Returns a digest of the images of a file: their names, and size and time of the files that they come from."""
    digest, stamps = hashlib.sha256(), dict[Path | None, str]()
    for item in items:
        if item.origin not in stamps:
            stamps[item.origin] = _stamp(item.origin)
        digest.update(f"{item.key}\0{stamps[item.origin]}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _stamp(path: Path | None) -> str:
    try:
        return "" if path is None else "{0.st_size} {0.st_mtime_ns}".format(path.stat())
    except FileNotFoundError:
        return "missing"


class ScoreFiles:
    """A folder of scores, a Parquet file for so many rows of the source.

    A file is known by its number alone, so a run may resume with another number of processes; it counts as done
    only when it was made of the same images.

    Args:
        folder: The folder; made when missing.
        run: What the scores depend on: scorer, weights, dimensions, rows of a file. A folder that holds the scores of
            another run is refused.

    Raises:
        ValueError: If the folder holds the scores of another run.
    """

    def __init__(self, folder: str | Path, run: Mapping[str, Any]) -> None:
        self._parquet = parquet_module()
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        described = {**run, "format": FORMAT}
        note = self.folder / "run.json"
        if note.is_file():
            found = json.loads(note.read_text(encoding="utf-8"))
            other = [name for name in described if found.get(name) != described[name]]
            if other:
                shown = ", ".join(f"{name} {found.get(name)!r}, not {described[name]!r}" for name in other)
                raise ValueError(f"{self.folder} holds the scores of another run ({shown}); choose another folder")
        else:
            write_bytes(note, json.dumps(described, indent=1).encode())

    def path(self, number: int) -> Path:
        """Returns the path of a file."""
        return self.folder / f"part-{number:08d}.parquet"

    def is_done(self, number: int, items: Sequence[Item]) -> bool:
        """Whether a file is there and its scores are of these images."""
        path = self.path(number)
        if not path.is_file():
            return False
        metadata = self._parquet.read_schema(path).metadata or {}
        return bool(metadata.get(_DIGEST, b"").decode() == digest_of(items))

    def write(self, number: int, items: Sequence[Item], rows: Sequence[Row]) -> None:
        """Writes a file, whole."""
        import pyarrow as arrow

        names = list(next((row.dimensions for row in rows if row.dimensions), {}))
        columns: dict[str, Any] = {
            "image": arrow.array([row.image for row in rows], arrow.string()),
            "score": arrow.array([row.score for row in rows], arrow.float32()),
            "target": arrow.array([row.target for row in rows], arrow.float64()),
            "group": arrow.array([row.group for row in rows], arrow.string()),
            "error": arrow.array([row.error for row in rows], arrow.string()),
        }
        for name in names:
            values = [None if row.dimensions is None else row.dimensions.get(name) for row in rows]
            columns[f"dimension.{name}"] = arrow.array(values, arrow.float32())
        table = arrow.table(columns).replace_schema_metadata({_DIGEST: digest_of(items).encode()})
        with replacing(self.path(number)) as temporary:
            self._parquet.write_table(table, temporary)

    def read(self, count: int, columns: Sequence[str] | None = None) -> Iterator[dict[str, list[Any]]]:
        """Yields the columns of each of the first ``count`` files.

        Raises:
            FileNotFoundError: If a file is missing.
        """
        for number in range(count):
            yield self._parquet.read_table(self.path(number), columns=columns).to_pydict()

    def errors(self, count: int) -> Iterator[tuple[str, str]]:
        """Yields the images that could not be scored, each with the reason."""
        for rows in self.read(count, ["image", "error"]):
            yield from ((image, error) for image, error in zip(rows["image"], rows["error"]) if error is not None)
