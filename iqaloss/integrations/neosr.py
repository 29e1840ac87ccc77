"""Losses in neosr: registered by name, for its slots, which leave the weight to the loss.

neosr has one slot for each kind of loss; ours go where a perceptual loss goes (``perceptual_opt``), and a second one
into ``dists_opt`` or ``fdl_opt``, whose names alone differ.

``python -m iqaloss.integrations.neosr -opt recipe.toml``, in its folder, runs its ``train.py`` with the losses.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Callable
from typing import Any

from torch import nn

from iqaloss.losses.registry import SUM, list_losses, read_spec


def _builder(name: str) -> Callable[..., nn.Module]:
    def build(**options: Any) -> nn.Module:
        return read_spec({**options, "type": name}).build()

    build.__name__ = name
    return build


def builders() -> dict[str, Callable[..., nn.Module]]:
    """Returns type to what builds it from a recipe's options.

    Example:
        >>> "MDIQALoss" in builders()
        True
    """
    return {name: _builder(name) for name in (*list_losses(), SUM)}


def register(registry: Any = None) -> None:
    """Puts the losses into neosr's registry; calling it again changes nothing.

    Args:
        registry: Its ``LOSS_REGISTRY``, where that is at hand.

    Raises:
        ImportError: If neosr is not importable: run this in its folder.
    """
    if registry is None:
        try:
            registry = importlib.import_module("neosr.utils.registry").LOSS_REGISTRY
        except ImportError as error:
            raise ImportError(f"neosr cannot be imported; run this in its folder ({error})") from error
    for name, build in builders().items():
        if name not in registry:
            registry.register(build)


if __name__ == "__main__":
    sys.path.insert(0, ".")
    register()
    runpy.run_path("train.py", run_name="__main__")
