"""Stages of a frozen network that keep only their inputs for the way back, and are computed again there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from torch import nn
from torch.utils import checkpoint as checkpointing

from iqaloss.scorers.layers.stacked import StackedLinear

_LAYERS = (nn.Conv2d, nn.Linear, StackedLinear)
M = TypeVar("M", bound=nn.Module)


def stages(module: nn.Module) -> list[nn.Module]:
    """Returns the stages of a network that can be computed again one by one.

    A stage is a member of an ``nn.Sequential`` or ``nn.ModuleList`` that holds two or more convolutions or linear
    layers and no such member itself: a residual block of a convolutional backbone, a layer of a transformer.

    Example:
        >>> blocks = [nn.Sequential(nn.Linear(2, 2), nn.GELU(), nn.Linear(2, 2)) for _ in range(3)]
        >>> len(stages(nn.ModuleList([*blocks, nn.Linear(2, 1)])))
        3
    """
    found: list[nn.Module] = []
    for child in module.children():
        inner = stages(child)
        if inner:
            found += inner
        elif isinstance(module, (nn.Sequential, nn.ModuleList)):
            layers = sum(isinstance(inside, _LAYERS) for inside in child.modules())
            found += [child] * (layers > 1)
    return found


def recomputing(network: M) -> M:
    """Returns a frozen network whose stages are computed again on the way back.

    It is the same network seen another way: it has the very weights, and the one that was given stays as it is, so that
    other losses and threads may run it meanwhile. Made anew for each call, it costs less than a millisecond.

    Args:
        network: It must give the same output for the same input: no random state is kept.

    Example:
        >>> network = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), nn.Linear(2, 1))
        >>> again = recomputing(network)
        >>> again[0][0].weight is network[0][0].weight, "forward" in vars(again[0]), "forward" in vars(network[0])
        (True, True, False)
    """
    found = set(stages(network))
    return _seen(network, found) if found else network


def _seen(module: M, found: Collection[nn.Module]) -> M:
    """The module with its stages exchanged; itself where there are none below."""
    if module in found:
        seen = _shallow(module)
        vars(seen)["forward"] = functools.partial(_checkpointed, module.forward)
        return seen
    children = {name: child and _seen(child, found) for name, child in module._modules.items()}
    if all(child is module._modules[name] for name, child in children.items()):
        return module
    seen = _shallow(module)
    vars(seen)["_modules"] = children
    return seen


def _shallow(module: M) -> M:
    """A module of the same kind that shares everything: weights, buffers, submodules and hooks."""
    seen: M = object.__new__(type(module))
    vars(seen).update(vars(module))
    return seen


def _checkpointed(forward: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return checkpointing.checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **options)
