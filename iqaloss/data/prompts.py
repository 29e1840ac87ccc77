"""Prompts of generated images that a person gives beside the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from iqaloss.data.manifest import Manifest
from iqaloss.data.sources import Item, Source
from iqaloss.data.tables import SUFFIXES, read_table
from iqaloss.data.vocabulary import find_roles, missing_column


@dataclass(frozen=True)
class Prompted:
    """A source whose images have other prompts: one for all, or one for each file name.

    Attributes:
        source: The images.
        prompts: A text, or file name to text.
    """

    source: Source
    prompts: str | Mapping[str, str]

    def __iter__(self) -> Iterator[Item]:
        for item in self.source:
            yield replace(item, prompt=self._of(item.key))

    def _of(self, key: str) -> str:
        return prompt_of(key, self.prompts)


def prompt_of(key: str, prompts: str | Mapping[str, str]) -> str:
    """Returns the prompt of an image, which a table may know by its path or by its name.

    Example:
        >>> prompt_of("images/1.png", {"1.png": "a red cube"})
        'a red cube'
    """
    if isinstance(prompts, str):
        return prompts
    name = key.replace("\\", "/").rsplit("/", 1)[-1]
    found = prompts.get(key, prompts.get(name))
    if found is None:
        raise ValueError(f"no prompt for {key} among the {len(prompts)} that were given")
    return found


def with_prompts(manifest: Manifest, given: str) -> Manifest:
    """Returns a manifest whose images have the prompts that are given; see :func:`read_prompts`."""
    prompts = read_prompts(given)
    return replace(manifest, prompts=tuple(prompt_of(str(image), prompts) for image in manifest.images))


def read_prompts(given: str) -> str | dict[str, str]:
    """Returns a prompt for all images, or those of a table by image.

    Args:
        given: A text, or a table with an image and a prompt column.

    Raises:
        ValueError: If the table lacks a column.

    Example:
        >>> read_prompts("a red cube")
        'a red cube'
    """
    path = Path(given)
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return given
    table = read_table(path)
    roles = find_roles(table.columns)
    for role in ("image", "prompt"):
        if role not in roles:
            raise missing_column(str(path), role, table.columns)
    pairs = zip(table.columns[roles["image"]], table.columns[roles["prompt"]])
    return {str(image): "" if prompt is None else str(prompt) for image, prompt in pairs}
