"""A loss as a person types it, and the plain one that it is compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from iqaloss._errors import unknown_name
from iqaloss._yaml import parse_yaml
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.options import loss_options
from iqaloss.losses.registry import LossSpec, list_losses, loss_class
from iqaloss.losses.schedule import Schedule
from iqaloss.scorers.registry import entry, list_scorers

RECOMMENDED = {"nr": 0.2, "fr": 1.0, "both": 0.2}
"""Mode to the weight beside an L1 loss of weight 1, as in ``restoration_recipes/``, whose losses have a prefilter."""

UNFILTERED = {"nr": 0.03, "fr": 1.0, "both": 0.03}
"""The same without one: a pattern grows earlier."""

LAST_STEP = 2**31
"""Weights that follow a schedule are those of its end."""

EXPRESSION = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", re.DOTALL)
WORDS = {"None": "null"}
"""Python's words that YAML does not know."""


def read_loss(text: str, weights: str | Path | None = None) -> LossSpec:
    """Reads the name of a scorer or loss, an expression, or a recipe file with one such loss.

    Args:
        text: ``mdiqa-mobile``, ``MDIQALoss``, ``"MDIQALoss(mode=fr, sharpness=2)"``, whose values are written as in
            YAML and whose options may be dimensions, which then weigh so much, or a path of a YAML file.
        weights: A checkpoint for its scorer.

    Raises:
        ValueError: If it is none of these, with the nearest name.

    Example:
        >>> spec = read_loss("MDIQALoss(mode=fr, weights={sharpness: 2})")
        >>> spec.loss.__name__, spec.options["weights"]
        ('MDIQALoss', {'sharpness': 2})
        >>> read_loss("mdiqa-mobile").loss.__name__
        'MDIQALoss'
    """
    if text.lower().endswith((".yml", ".yaml")):
        options = dict(_of_recipe(Path(text)))
    elif text in list_scorers():
        options = {"type": loss_of(text), "scorer": text}
    else:
        options = _of_expression(text)
    if weights is not None:
        scorer = options.get("scorer", loss_options(loss_class(options["type"]))["scorer"])
        named = dict(scorer) if isinstance(scorer, Mapping) else {"name": scorer}
        options["scorer"] = named | {"weights": str(weights)}
    return LossSpec.read(options)


def loss_of(scorer: str) -> str:
    """Returns the name of the loss that is made for a scorer; IQALoss where there is none.

    Example:
        >>> loss_of("lar-iqa"), loss_of("mdiqa-mobile")
        ('LARIQALoss', 'MDIQALoss')
    """
    own = (name for name in list_losses() if loss_options(loss_class(name))["scorer"] == scorer)
    return next((name for name in own if name != IQALoss.__name__), IQALoss.__name__)


def _of_expression(text: str) -> dict[str, Any]:
    found = EXPRESSION.fullmatch(text)
    known = [*list_losses(), *list_scorers()]
    if found is None or found[1] not in list_losses():
        name = text if found is None else found[1]
        raise ValueError(
            f"{unknown_name('loss or scorer', name, known)}. An expression looks like 'MDIQALoss(mode=fr)'"
        )
    options: dict[str, Any] = {"type": found[1]}
    for item in split(found[2] or ""):
        name, equals, value = item.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ValueError(f"{text}: options are written as name=value, got {item.strip()!r}")
        if name.strip() in options:
            raise ValueError(f"{text}: the option {name.strip()!r} is given twice")
        options[name.strip()] = _yaml(WORDS.get(value.strip(), value), text)
    return with_dimensions(options)


def with_dimensions(options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a loss's options with the dimensions among them as weights.

    Example:
        >>> with_dimensions({"type": "MDIQALoss", "sharpness": 2, "mode": "nr"})
        {'type': 'MDIQALoss', 'mode': 'nr', 'weights': {'sharpness': 2}}
    """
    known = loss_options(loss_class(options["type"]))
    scorer = options.get("scorer", known["scorer"])
    name = scorer.get("name") if isinstance(scorer, Mapping) else scorer
    named = entry(name).card.dimensions if name in list_scorers() and "weights" in known else ()
    weights = {key: value for key, value in options.items() if key in named}
    rest = {key: value for key, value in options.items() if key not in weights}
    if weights and isinstance(rest.get("weights", {}), Mapping):
        rest["weights"] = {**rest.get("weights", {}), **weights}
    return rest


def split(text: str) -> Iterator[str]:
    """Splits options at the commas that stand in no bracket and no quotation marks.

    Example:
        >>> list(split("mode=fr, weights={a: 1, b: 2}"))
        ['mode=fr', ' weights={a: 1, b: 2}']
    """
    depth, quote, start = 0, "", 0
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    if text[start:].strip():
        yield text[start:]


def _yaml(text: str, where: str) -> Any:
    try:
        return parse_yaml(text, "it")
    except ValueError as error:
        raise ValueError(f"{where}: {text.strip()[:60]!r} is no YAML: {error}") from error


def _of_recipe(path: Path) -> Mapping[str, Any]:
    try:
        found = list(_losses_in(_yaml(path.read_text(encoding="utf-8"), str(path))))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"no such recipe: {path}") from error
    if len(found) != 1:
        names = ", ".join(str(one["type"]) for one in found) or "none"
        raise ValueError(f"{path} must have one loss out of {', '.join(list_losses())}; it has: {names}")
    return found[0]


def _losses_in(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        if node.get("type") in list_losses():
            yield node
        else:
            for value in node.values():
                yield from _losses_in(value)


def mode_of(spec: LossSpec) -> str:
    """Returns the mode that a loss will have."""
    return str(spec.options.get("mode", loss_options(spec.loss)["mode"]))


def recommended_weight(spec: LossSpec) -> float:
    """Returns the weight beside L1: the loss's own at the end of training, else what is recommended for its mode.

    Example:
        >>> recommended_weight(read_loss("MDIQALoss")), recommended_weight(read_loss("MDIQALoss(prefilter=1.2)"))
        (0.03, 0.2)
    """
    given = spec.options.get("loss_weight")
    if given is None:
        weights = RECOMMENDED if spec.options.get("prefilter") else UNFILTERED
        return weights.get(mode_of(spec), weights["nr"])
    return Schedule.read("loss_weight", given).at(LAST_STEP)


def plain(spec: LossSpec) -> LossSpec:
    """Returns the no-reference loss of the same class and scorer with every other option at its default."""
    return replace(spec, options={"mode": "nr"})


def is_plain(spec: LossSpec) -> bool:
    """Whether a loss's value, but for a factor, is that of its plain one.

    Example:
        >>> is_plain(read_loss("MDIQALoss(loss_weight=0.1)")), is_plain(read_loss("MDIQALoss(mode=fr)"))
        (True, False)
    """
    defaults = loss_options(spec.loss) | {"mode": "nr"}
    return all(name == "loss_weight" or defaults[name] == value for name, value in spec.options.items())
