"""Recipes: what is trained on what and how, as YAML files that are checked before anything is built."""

from __future__ import annotations

from iqaloss.training.recipes.files import list_recipes, read_recipe
from iqaloss.training.recipes.finetune import finetune_recipe
from iqaloss.training.specs.recipe import Recipe

__all__ = ["Recipe", "finetune_recipe", "list_recipes", "read_recipe"]
