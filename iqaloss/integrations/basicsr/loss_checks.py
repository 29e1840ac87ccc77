"""Finds what is wrong with the options of our losses and our metric before anything is built."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from iqaloss._errors import unknown_name
from iqaloss.integrations.basicsr.call_checks import check_arguments
from iqaloss.integrations.basicsr.metrics import OVERALL, calculate_iqa
from iqaloss.losses.registry import read_spec
from iqaloss.losses.scorer_spec import ScorerSpec
from iqaloss.scorers import registry


def check_loss(place: str, options: Mapping[str, Any]) -> list[str]:
    """Returns what is wrong with the options of one of our losses."""
    if options.get("reduction", "mean") == "none":
        return [f"{place}: reduction: none gives a loss of each image, and BasicSR needs one number: mean or sum"]
    try:
        read_spec(options).check()
    except (ValueError, TypeError, ImportError) as error:
        return [f"{place}: {error}"]
    return []


def check_metric(place: str, metric: Mapping[str, Any]) -> Iterable[str]:
    """Yields what is wrong with the options of ``calculate_iqa``."""
    parameters = inspect.signature(calculate_iqa).parameters
    allowed = [key for key in (*parameters, "better", "type") if key not in ("img", "img2", "options")]
    for key in metric:
        if key not in allowed:
            yield f"{place}: {unknown_name('option', key, allowed)}"
    plain = {key: value for key, value in metric.items() if key not in ("scorer", "type")}
    yield from check_arguments(place, plain, calculate_iqa)
    try:
        spec = ScorerSpec.read(metric.get("scorer", parameters["scorer"].default))
        spec.check_weights()
    except (ValueError, TypeError, ImportError) as error:
        yield f"{place}: {error}"
        return
    dimensions = (OVERALL, *registry.entry(spec.name).card.dimensions)
    dimension = metric.get("dimension", OVERALL)
    if isinstance(dimension, str) and dimension not in dimensions:
        yield f"{place}: {unknown_name('dimension', dimension, dimensions)}"
