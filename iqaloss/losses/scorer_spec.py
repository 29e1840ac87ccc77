"""A scorer as a recipe names it: a word, or a name with options."""

from __future__ import annotations

import json
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from iqaloss._aside import aside
from iqaloss._configs import check_options
from iqaloss._errors import shown
from iqaloss.scorers import checkpoints, registry
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.factory import create_scorer, create_tiny


@dataclass(frozen=True)
class ScorerSpec:
    """Which scorer is meant.

    Attributes:
        name: A registered name.
        options: What :func:`iqaloss.create_scorer` takes beside it, such as ``weights``.

    Example:
        >>> ScorerSpec.read({"name": "mdiqa-mobile", "weights": "mine.safetensors"}).options
        {'weights': 'mine.safetensors'}
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, word: object) -> ScorerSpec:
        """Reads a registered name, or a mapping with ``name`` and options.

        Raises:
            ValueError: If it is neither, or a name is unknown; with the nearest valid one.
        """
        given = {"name": word} if isinstance(word, str) else word
        if not isinstance(given, Mapping) or "name" not in given:
            raise ValueError(f"scorer must be a registered name or a mapping with name and weights, got {shown(word)}")
        options = {str(key): value for key, value in given.items() if key != "name"}
        config = registry.entry(given["name"]).config
        check_options(options, ("weights", *typing.get_type_hints(type(config))), f"scorer {given['name']}")
        if isinstance(options.get("weights"), str):
            options["weights"] = os.path.expanduser(options["weights"])
        return cls(str(given["name"]), options)

    @property
    def key(self) -> str:
        """The same for specs that mean the same scorer."""
        return json.dumps([self.name, self.options], sort_keys=True, default=str)

    def check_weights(self) -> None:
        """Raises ``ValueError`` unless the scorer's weights are at hand."""
        if "weights" not in self.options:
            card = registry.entry(self.name).card
            if card.embedded is None:
                raise ValueError(card.how_to_get_weights())
            path = checkpoints.embedded_path(card.embedded)
            if not path.is_file():
                raise ValueError(f"scorer {self.name}: the package lacks its weights, {path}")
        elif self.options["weights"] is None:
            raise ValueError(f"scorer {self.name}: random weights are no judge; name a file or folder")
        elif not isinstance(self.options["weights"], (str, Path)) or not str(self.options["weights"]):
            raise ValueError(
                f"scorer {self.name}: weights must be a file or a folder, got {shown(self.options['weights'])}"
            )
        elif not _is_there(self.options["weights"]):
            raise ValueError(f"scorer {self.name}: no weights at {self.options['weights']}")

    def build(self) -> Scorer:
        """Builds the scorer, frozen and folded."""
        return create_scorer(self.name, **self.options).freeze().fold()

    def tiny(self) -> Scorer:
        """Returns a small random scorer of the same kind, always the same one, for checks."""
        return _tiny(self.name)


def _is_there(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


@cache
def _tiny(name: str) -> Scorer:
    with aside(0):
        return create_tiny(name)
