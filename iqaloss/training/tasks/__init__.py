"""What is trained, for each model: which parameters learn from which output by which loss."""

from __future__ import annotations

import importlib
from dataclasses import replace

from iqaloss._configs import changed, check_options, parse
from iqaloss._errors import check_number, shown, unknown_name
from iqaloss.scorers.registry import entry
from iqaloss.training.specs.recipe import Recipe
from iqaloss.training.tasks.base import OBJECTIVES, Task, registered

_BUILT_IN = ("score", "mdiqa", "lar_iqa", "pmt_iqa", "moe_agiqa", "sr_iqa", "calibrate")


def task_class(name: str, where: str = "recipe") -> type[Task]:
    """Returns the task of a name; raises ``ValueError`` with the place and the nearest name for an unknown one."""
    for module in _BUILT_IN:
        importlib.import_module(f"iqaloss.training.tasks.{module}")
    tasks = registered()
    if name not in tasks:
        raise ValueError(f"{where}.task: {unknown_name('task', name, sorted(tasks))}")
    return tasks[name]


def checked(recipe: Recipe, where: str = "recipe") -> Recipe:
    """Returns a recipe whose options are read: the task's own dataclass in the place of plain values.

    Args:
        recipe: The recipe.
        where: Where it is from, for messages.

    Raises:
        ValueError: If the task, an option or a loss is unknown, or an option has a wrong value.
    """
    task = task_class(recipe.task, where)
    if isinstance(recipe.options, task.options_class):
        return recipe
    check_options(recipe.losses, (*OBJECTIVES, *task.extra_losses), f"{where}.losses", "loss")
    for name, weight in recipe.losses.items():
        check_number(f"{where}.losses.{name}", weight, least=0.0)
    if not any(recipe.losses.values()) and not task.extra_losses:
        raise ValueError(
            f"{where}.losses names no loss with a weight, got {shown(dict(recipe.losses))}: nothing would be learnt"
        )
    ready = replace(recipe, options=parse(task.options_class, recipe.options, f"{where}.options"))
    _check_scorer(ready, task, where)
    return ready


def _check_scorer(recipe: Recipe, task: type[Task], where: str) -> None:
    """Raises ``ValueError`` for a scorer that there is not, or options that its config does not take."""
    spec = recipe.scorer
    try:
        item = entry(spec.name)
    except ValueError as error:
        raise ValueError(f"{where}.scorer.name: {error}") from None
    config = item.tiny if spec.size == "tiny" else item.config
    changed(config, spec.options, f"{where}.scorer.options")
    task.scorer_options(recipe)
