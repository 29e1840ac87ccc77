"""Recipes on disk: the published ones inside the package, and the user's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iqaloss._configs import parse
from iqaloss._errors import unknown_name
from iqaloss._yaml import read_yaml
from iqaloss.training.recipes.old_names import refuse_old_names
from iqaloss.training.recipes.overrides import override
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.tasks import checked

_FOLDER = Path(__file__).parent


def list_recipes() -> list[str]:
    """Returns the names of the recipes inside the package, sorted.

    Example:
        >>> "mdiqa_fusion_koniq" in list_recipes()
        True
    """
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Reads and checks a recipe.

    Args:
        path: A YAML file, or the name of a recipe inside the package.
        changes: Changes such as ``"optimizer.lr=1e-4"``.

    Raises:
        FileNotFoundError: If there is no such file; names the nearest recipe inside the package.
        ValueError: For anything that is unknown, missing or of the wrong type, before anything is built.

    Example:
        >>> read_recipe("mdiqa_fusion_koniq", ["run.steps=10"]).run.steps
        10
    """
    return recipe_from(read_values(path), changes, str(path))


def read_values(path: str | Path) -> dict[str, Any]:
    """Returns the plain values of a recipe file."""
    file = Path(path)
    if not file.suffix:
        file = _FOLDER / f"{path}.yaml"
    if not file.is_file():
        raise FileNotFoundError(f"no such recipe file; {unknown_name('recipe', str(path), list_recipes())}")
    values = read_yaml(file)
    if not isinstance(values, dict):
        raise ValueError(f"{file} must hold a mapping, got {type(values).__name__}")
    return values


def recipe_from(values: Mapping[str, Any], changes: Sequence[str] = (), where: str = "recipe") -> Recipe:
    """Checks plain values: the recipe's fields, the task's name and its options."""
    plain = override(values, changes)
    refuse_old_names(plain, where)
    return checked(parse(Recipe, plain, where), where)
