"""From a recipe to the scorer that learns and its optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from iqaloss._configs import changed
from iqaloss.scorers.base import Scorer
from iqaloss.scorers.factory import build, create_scorer
from iqaloss.scorers.registry import entry
from iqaloss.scorers.state_dicts import load_strict, read_state_dict
from iqaloss.training.specs.recipe import Recipe, Start
from iqaloss.training.specs.run import OptimizerSpec
from iqaloss.training.starts import advice
from iqaloss.training.tasks import checked, task_class
from iqaloss.training.tasks.base import Task

_COUNTER = "num_batches_tracked"


def build_task(recipe: Recipe, dimensions: Mapping[str, tuple[str, ...]] | None = None) -> Task:
    """Builds the scorer of a recipe, gives it its starting weights, and hands it to the recipe's task.

    Args:
        recipe: The recipe.
        dimensions: Data set to the dimensions of which it has a column, beside what it teaches anyway.
    """
    recipe = checked(recipe)
    cls = task_class(recipe.task)
    scorer = build_scorer(recipe, cls.scorer_options(recipe))
    left_out = cls.leaves_out(recipe)
    for start in recipe.start:
        if start.module.split(".")[0] not in left_out and start.role not in left_out:
            apply_start(scorer, start, cls)
    if recipe.run.dropout is not None:
        for module in scorer.modules():
            if isinstance(module, nn.Dropout):
                module.p = recipe.run.dropout
            elif isinstance(module, nn.MultiheadAttention):
                module.dropout = recipe.run.dropout
    task = cls(scorer.unfreeze(), recipe)
    task.finds(dimensions or {})
    return task


def build_scorer(recipe: Recipe, options: Mapping[str, Any]) -> Scorer:
    """Builds the scorer with the options of the recipe and of its task."""
    spec = recipe.scorer
    item = entry(spec.name)
    if spec.weights is not None:
        changes = {**options, **spec.options}
        return create_scorer(spec.name, weights=spec.weights, **changes)
    config = item.tiny if spec.size == "tiny" else item.config
    return build(item, changed(changed(config, options, "task"), spec.options, "recipe.scorer.options"), {})


def apply_start(scorer: Scorer, start: Start, task: type[Task] = Task) -> None:
    """Loads a file into a module of the scorer.

    Raises:
        FileNotFoundError: If a required file is missing; says what it is for.
        ValueError: If the module does not exist, or a tensor of it is missing, unexpected or misshapen.
    """
    target = f"the module {start.role or start.module!r}" if start.role or start.module else "the scorer"
    if not Path(start.file).is_file():
        if start.required:
            told = f"the recipe starts {target} from it, see `start`; {advice(start.file)}"
            raise FileNotFoundError(f"no such file: {start.file} ({told})")
        return
    if start.role is not None:
        task.load_role(scorer, start.role, read_state_dict(start.file))
        return
    try:
        module = scorer.get_submodule(start.module)
    except AttributeError as error:
        raise ValueError(f"recipe.start: {scorer.card.name} has no module {start.module!r}: {error}") from error
    state = read_state_dict(start.file)
    state = {name.removeprefix(start.prefix): value for name, value in state.items() if name.startswith(start.prefix)}
    own = module.state_dict()
    state = {name: value for name, value in state.items() if name in own or not any(map(name.startswith, start.drop))}
    load_strict(module, state, source=f"{start.file} for {target}")


def build_optimizer(task: Task, spec: OptimizerSpec) -> torch.optim.Optimizer:
    """Builds the optimiser of every parameter that learns."""
    trained = [parameter for parameter in task.parameters() if parameter.requires_grad]
    if not trained:
        raise ValueError("no parameter learns: check the task's options")
    if spec.name == "adam":
        return torch.optim.Adam(trained, lr=spec.lr, weight_decay=spec.weight_decay)
    if spec.name == "sgd":
        return torch.optim.SGD(trained, lr=spec.lr, weight_decay=spec.weight_decay, momentum=0.9)
    return torch.optim.AdamW(trained, lr=spec.lr, weight_decay=spec.weight_decay)
