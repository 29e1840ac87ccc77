"""Parquet files, read in sequence: columns of image files, or of the encoded images themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from iqaloss.data.sources import Item, itself, place_of, target_of
from iqaloss.data.tables import named, parquet_module
from iqaloss.data.vocabulary import find_roles, missing_column

_READ = ("image", "score", "group", "prompt")


def holds_images(path: Path) -> bool:
    """Whether a Parquet file holds the images themselves, and not their names."""
    with named(path):
        schema = parquet_module().read_schema(path)
    column = find_roles(schema.names).get("image")
    return column is not None and str(schema.field(column).type) not in ("string", "large_string")


@dataclass(frozen=True)
class ParquetFiles:
    """Parquet files with a column of image files, or of encoded images (bytes, or a struct with bytes)."""

    paths: tuple[Path, ...]
    images: Path | None = None

    def __iter__(self) -> Iterator[Item]:
        for path in self.paths:
            with named(path), parquet_module().ParquetFile(path) as file:
                roles = find_roles(file.schema_arrow.names)
                if "image" not in roles:
                    raise missing_column(str(path), "image", file.schema_arrow.names)
                columns = {role: roles[role] for role in _READ if role in roles}
                row = 0
                for batch in file.iter_batches(batch_size=64, columns=list(columns.values())):
                    for values in batch.to_pylist():
                        found = {role: values[name] for role, name in columns.items()}
                        target = target_of(roles.get("score"), found.get("score"))
                        yield self._item(path, row, found, target)
                        row += 1

    def _item(self, path: Path, row: int, values: dict[str, Any], target: float | None) -> Item:
        image, name = values["image"], f"{path.name}:{row}"
        if isinstance(image, dict):
            name = image.get("path") or name
            image = image.get("bytes") or image.get("path")
        if isinstance(image, str):
            name, image = image, place_of(self.images or path.parent, image)
        origin = image if isinstance(image, Path) else path
        group, prompt = (None if (cell := values.get(role)) is None else str(cell) for role in ("group", "prompt"))
        return Item(name, partial(itself, image), origin, target, group, prompt)
