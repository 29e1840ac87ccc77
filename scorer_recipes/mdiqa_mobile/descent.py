"""What both trainers do with a step: join the halves' gradients, descend, store the state."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss.training.engine.checkpointing import read_state, write_state
from scorer_recipes.mdiqa_mobile.opposition import Opposition
from scorer_recipes.mdiqa_mobile.recipe import Recipe

Half = tuple[dict[str, float], list["Tensor | None"]]
"""Values of the terms of a loss, and the gradients of their sum."""


def gradients(terms: dict[str, Tensor], trained: list[nn.Parameter]) -> Half:
    """Returns the values of loss terms and the gradients of their sum."""
    grads = torch.autograd.grad(torch.stack(list(terms.values())).sum(), trained, allow_unused=True)
    return {name: float(value.detach()) for name, value in terms.items()}, list(grads)


def descend(
    optimizer: torch.optim.Optimizer, trained: list[nn.Parameter], halves: Sequence[Half], clip: float, what: str
) -> dict[str, float]:
    """Does one step along the sum of the halves' gradients and returns the values of all terms.

    Args:
        optimizer: Of the trained parameters.
        trained: The parameters, in the order of the gradients.
        halves: What :func:`gradients` returned; a term in several halves is reported as in the last.
        clip: Largest norm of the gradient.
        what: Names the step in an error.

    Raises:
        ValueError: If the gradient is not finite.
    """
    terms: dict[str, float] = {}
    for found, _ in halves:
        terms.update(found)
    for parameter, *grads in zip(trained, *(grads for _, grads in halves)):
        given = [grad for grad in grads if grad is not None]
        parameter.grad = torch.stack(given).sum(dim=0) if len(given) > 1 else given[0] if given else None
    norm = nn.utils.clip_grad_norm_(trained, clip)
    if not torch.isfinite(norm):
        raise ValueError(f"the gradient of {what} is not finite: {terms}")
    optimizer.step()
    optimizer.zero_grad()
    return terms


def save_state(path: Path, recipe: Recipe | Opposition, step: int, holders: Mapping[str, Any]) -> None:
    """Writes the step, the recipe and the states of whatever is named."""
    states = {name: holder.state_dict() for name, holder in holders.items()}
    write_state({"step": step, "recipe": json.dumps(dataclasses.asdict(recipe)), **states}, path)


def load_state(path: Path, recipe: Recipe | Opposition, holders: Mapping[str, Any]) -> int:
    """Gives whatever is named the states in a checkpoint and returns its step.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it was made with another recipe.
    """
    state = read_state(path)
    mine = json.dumps(dataclasses.asdict(recipe))
    if state["recipe"] != mine:
        raise ValueError(f"{path} was made with the recipe {state['recipe']}, not with {mine}")
    for name, holder in holders.items():
        holder.load_state_dict(state[name])
    return int(state["step"])
