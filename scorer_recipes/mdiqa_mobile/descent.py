"""What both trainers do with a step: join the halves' gradients, descend, average the weights, store the state."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scorer_recipes.mdiqa_mobile.recipe import Recipe

Half = tuple[dict[str, float], list["Tensor | None"]]
"""Values of the parts of a loss, and the gradients of their sum."""


def gradients(parts: dict[str, Tensor], trained: list[nn.Parameter]) -> Half:
    """Returns the values of loss parts and the gradients of their sum."""
    grads = torch.autograd.grad(torch.stack(list(parts.values())).sum(), trained, allow_unused=True)
    return {name: float(value.detach()) for name, value in parts.items()}, list(grads)


def descend(
    optimizer: torch.optim.Optimizer, trained: list[nn.Parameter], halves: Sequence[Half], clip: float, what: str
) -> dict[str, float]:
    """Does one step along the sum of the halves' gradients and returns the values of all parts.

    Args:
        optimizer: Of the trained parameters.
        trained: The parameters, in the order of the gradients.
        halves: What :func:`gradients` returned; a part in several halves is reported as in the last.
        clip: Largest norm of the gradient.
        what: Names the step in an error.

    Raises:
        ValueError: If the gradient is not finite.
    """
    parts: dict[str, float] = {}
    for found, _ in halves:
        parts.update(found)
    for parameter, *grads in zip(trained, *(grads for _, grads in halves)):
        given = [grad for grad in grads if grad is not None]
        parameter.grad = torch.stack(given).sum(dim=0) if len(given) > 1 else given[0] if given else None
    norm = nn.utils.clip_grad_norm_(trained, clip)
    if not torch.isfinite(norm):
        raise ValueError(f"the gradient of {what} is not finite: {parts}")
    optimizer.step()
    optimizer.zero_grad()
    return parts


@torch.no_grad()
def average(averaged: nn.Module, current: nn.Module, step: int, ema: float) -> None:
    """Moves averaged weights towards those of the module that is trained; faster in the beginning."""
    decay = min(ema, (1 + step) / (10 + step))
    for kept, trained in zip(averaged.parameters(), current.parameters()):
        if trained.requires_grad:
            kept.lerp_(trained, 1.0 - decay)


def save_state(path: Path, recipe: Recipe, step: int, parts: Mapping[str, Any]) -> None:
    """Writes the step, the recipe and the states of named parts to a temporary file and renames it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    states = {name: part.state_dict() for name, part in parts.items()}
    partial = path.with_name(path.name + ".partial")
    torch.save({"step": step, "recipe": json.dumps(dataclasses.asdict(recipe)), **states}, partial)
    os.replace(partial, path)


def load_state(path: Path, recipe: Recipe, parts: Mapping[str, Any]) -> int:
    """Gives named parts the states in a checkpoint and returns its step.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it was made with another recipe.
    """
    if not path.is_file():
        raise FileNotFoundError(f"nothing to resume: {path} does not exist")
    state = torch.load(path, map_location="cpu", weights_only=True)
    mine = json.dumps(dataclasses.asdict(recipe))
    if state["recipe"] != mine:
        raise ValueError(f"{path} was made with the recipe {state['recipe']}, not with {mine}")
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["step"])
