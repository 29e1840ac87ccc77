"""Finds what is wrong with the options of our losses and our metric before anything is built."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from iqaloss._errors import unknown_name
from iqaloss.integrations.basicsr.losses import loss_class, loss_options, scorer_spec
from iqaloss.integrations.basicsr.metrics import OVERALL, calculate_iqa
from iqaloss.scorers import checkpoints, factory, registry
from iqaloss.scorers.base import Scorer


def check_loss(place: str, options: Mapping[str, Any]) -> list[str]:
    """Returns what is wrong with the options of one of our losses.

    Values are judged by the loss itself, built on a small random scorer of the same kind, so that its rules
    stand in one place.
    """
    try:
        chosen = loss_class(options)
        allowed = loss_options(chosen)
        unknown = [key for key in options if key not in ("type", *allowed)]
        if unknown:
            return [f"{place}: {unknown_name('option', key, allowed)}" for key in unknown]
        name = check_scorer(scorer_spec(options))
        rest = {key: value for key, value in options.items() if key not in ("type", "scorer")}
        chosen(scorer=_small(name), **rest)
    except (ValueError, TypeError, ImportError) as error:
        return [f"{place}: {error}"]
    return []


@cache
def _small(name: str) -> Scorer:
    return factory.create_tiny(name)


def check_scorer(spec: Any) -> str:
    """Returns the name of a scorer whose weights are at hand; raises ``ValueError`` if they are not."""
    options = {"name": spec} if isinstance(spec, str) else spec
    if not isinstance(options, Mapping) or "name" not in options:
        raise ValueError(f"scorer must be a registered name or a mapping with name and weights, got {spec!r}")
    item = registry.entry(options["name"])
    if "weights" not in options:
        if item.card.embedded is None:
            raise ValueError(item.card.how_to_get_weights())
        path = checkpoints.embedded_path(item.card.embedded)
        if not path.is_file():
            raise ValueError(f"scorer {options['name']}: the package lacks its weights, {path}")
    elif options["weights"] is None:
        raise ValueError(f"scorer {options['name']}: random weights are no judge; name a file or folder")
    elif not Path(os.path.expanduser(str(options["weights"]))).exists():
        raise ValueError(f"scorer {options['name']}: no weights at {options['weights']}")
    return str(options["name"])


def check_metric(place: str, metric: Mapping[str, Any]) -> Iterable[str]:
    """Yields what is wrong with the options of ``calculate_iqa``."""
    parameters = inspect.signature(calculate_iqa).parameters
    allowed = [key for key in (*parameters, "better", "type") if key not in ("img", "img2", "options")]
    for key in metric:
        if key not in allowed:
            yield f"{place}: {unknown_name('option', key, allowed)}"
    try:
        name = check_scorer(metric.get("scorer", parameters["scorer"].default))
    except ValueError as error:
        yield f"{place}: {error}"
        return
    dimensions = (OVERALL, *registry.entry(name).card.dimensions)
    if metric.get("dimension", OVERALL) not in dimensions:
        yield f"{place}: {unknown_name('dimension', metric['dimension'], dimensions)}"
