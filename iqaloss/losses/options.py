"""Which options a loss takes, its own and those that it hands on, and what is said of any other."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from iqaloss._configs import check_options

RENAMED = {"chunk": "micro_batch", "return_parts": "return_terms"}
"""Options that have another name today, for those who know the old one."""


def loss_options(loss: type[nn.Module]) -> dict[str, Any]:
    """Returns the options that a loss takes and their defaults, those that it hands to its parents included.

    Example:
        >>> from iqaloss import IQALoss, MDIQALoss
        >>> list(loss_options(IQALoss))[:2], loss_options(MDIQALoss)["scorer"]
        (['scorer', 'mode'], 'mdiqa-mobile')
    """
    options: dict[str, Any] = {}
    for base in loss.__mro__:
        if "__init__" not in vars(base) or base is nn.Module:
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]  # type: ignore[misc]
        for parameter in parameters:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                options.setdefault(parameter.name, parameter.default)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return options


def check_loss_options(loss: type[nn.Module], given: Iterable[str]) -> None:
    """Raises ``ValueError`` for an option that a loss does not take, with the nearest one or the new name."""
    allowed = loss_options(loss)
    for name in given:
        if name in RENAMED and name not in allowed:
            raise ValueError(f"{loss.__name__}: the option {name!r} is called {RENAMED[name]!r} today")
    check_options(given, allowed, loss.__name__)


def known_options(loss: type[nn.Module], given: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options that a loss hands on; raises ``TypeError`` for one that nobody takes, with the nearest one.

    Example:
        >>> from iqaloss import MDIQALoss
        >>> known_options(MDIQALoss, {"chunk": 2})
        Traceback (most recent call last):
        TypeError: MDIQALoss: the option 'chunk' is called 'micro_batch' today
    """
    try:
        check_loss_options(loss, given)
    except ValueError as error:
        raise TypeError(str(error)) from None
    return dict(given)
