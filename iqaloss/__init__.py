"""Frozen image quality models as losses for image restoration."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from iqaloss._version import __version__

if TYPE_CHECKING:
    from iqaloss.losses.iqa_loss import IQALoss
    from iqaloss.losses.mdiqa_loss import MDIQALoss
    from iqaloss.scorers.factory import create_scorer, load_official
    from iqaloss.scorers.registry import list_scorers

__all__ = ["IQALoss", "MDIQALoss", "__version__", "create_scorer", "list_scorers", "load_official"]

_MODULES = {
    "IQALoss": "iqaloss.losses.iqa_loss",
    "MDIQALoss": "iqaloss.losses.mdiqa_loss",
    "create_scorer": "iqaloss.scorers.factory",
    "list_scorers": "iqaloss.scorers.registry",
    "load_official": "iqaloss.scorers.factory",
}
_ROOMS = ("losses", "scorers")


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is: the command line explains itself without waiting for torch."""
    if name in _ROOMS:
        return importlib.import_module(f"iqaloss.{name}")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
