"""Scores on disk: Parquet files of so many rows each, written as the work goes on and trusted when it resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from iqaloss._files import clear_leftovers, replacing, write_bytes
from iqaloss.data.sources import Item
from iqaloss.data.tables import parquet_module

FORMAT = "1"
_DIGEST, _LABELS = b"iqaloss.digest", b"iqaloss.labels"


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
    """Returns a digest of what the scores of a file were made of.

    That is the names of its images, size and time of the files that they come from, and the prompts.
    """
    stamps = dict[Path | None, str]()
    for item in items:
        if item.origin not in stamps:
            stamps[item.origin] = _stamp(item.origin)
    return _digest([(item.key, stamps[item.origin], item.prompt) for item in items])


def labels_of(items: Sequence[Item]) -> str:
    """Returns a digest of what people said of the images of a file."""
    return _digest([(item.target, item.group) for item in items])


def _digest(rows: Sequence[tuple[object, ...]]) -> str:
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogateescape")).hexdigest()


def _stamp(path: Path | None) -> str:
    try:
        return "" if path is None else "{0.st_size} {0.st_mtime_ns}".format(path.stat())
    except OSError:
        return "missing"


def _labels(rows: Sequence[Row] | Sequence[Item]) -> dict[str, Any]:
    import pyarrow as arrow

    return {
        "target": arrow.array([row.target for row in rows], arrow.float64()),
        "group": arrow.array([row.group for row in rows], arrow.string()),
    }


def _read_note(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); choose another folder, or delete it with its scores") from error


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
            found = _read_note(note)
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
        """Whether a file is there and its scores are of these images; human scores and groups are brought up to date.

        A file that cannot be read is not done.
        """
        path = self.path(number)
        if not path.is_file():
            return False
        try:
            metadata = self._parquet.read_schema(path).metadata or {}
        except (ValueError, OSError):
            return False
        if metadata.get(_DIGEST, b"").decode() != digest_of(items):
            return False
        if metadata.get(_LABELS, b"").decode() != labels_of(items):
            self._relabel(number, items)
        return True

    def _relabel(self, number: int, items: Sequence[Item]) -> None:
        """Writes what people say now beside the scores of a file, which stay."""
        table = self._read(number)
        for name, values in _labels(items).items():
            table = table.set_column(table.schema.get_field_index(name), name, values)
        self._write(number, items, table)

    def write(self, number: int, items: Sequence[Item], rows: Sequence[Row]) -> None:
        """Writes a file, whole."""
        import pyarrow as arrow

        names = list(next((row.dimensions for row in rows if row.dimensions), {}))
        columns: dict[str, Any] = {
            "image": arrow.array([row.image for row in rows], arrow.string()),
            "score": arrow.array([row.score for row in rows], arrow.float32()),
            **_labels(rows),
            "error": arrow.array([row.error for row in rows], arrow.string()),
        }
        for name in names:
            values = [None if row.dimensions is None else row.dimensions.get(name) for row in rows]
            columns[f"dimension.{name}"] = arrow.array(values, arrow.float32())
        self._write(number, items, arrow.table(columns))

    def _write(self, number: int, items: Sequence[Item], table: Any) -> None:
        digests = {_DIGEST: digest_of(items).encode(), _LABELS: labels_of(items).encode()}
        with replacing(self.path(number)) as temporary:
            self._parquet.write_table(table.replace_schema_metadata(digests), temporary)

    def _read(self, number: int, columns: Sequence[str] | None = None) -> Any:
        path = self.path(number)
        try:
            return self._parquet.read_table(path, columns=columns)
        except ValueError as error:
            raise ValueError(f"{path} is damaged ({error}); delete it, and the same command makes it anew") from error

    def trim(self, count: int) -> list[Path]:
        """Removes what the first ``count`` files do not need, when no process writes any more; returns the scores.

        That is scores of images that are no longer in the source, and what killed runs left half written.
        """
        stale = [path for path in self.folder.glob("part-*.parquet") if path.name >= self.path(count).name]
        for path in stale:
            path.unlink(missing_ok=True)
        clear_leftovers(self.folder)
        return stale

    def read(self, count: int, columns: Sequence[str] | None = None) -> Iterator[dict[str, list[Any]]]:
        """Yields the columns of each of the first ``count`` files.

        Raises:
            FileNotFoundError: If a file is missing.
        """
        for number in range(count):
            yield self._read(number, columns).to_pydict()

    def errors(self, count: int) -> Iterator[tuple[str, str]]:
        """Yields the images that could not be scored, each with the reason."""
        for rows in self.read(count, ["image", "error"]):
            yield from ((image, error) for image, error in zip(rows["image"], rows["error"]) if error is not None)
