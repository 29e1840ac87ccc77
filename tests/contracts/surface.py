"""What users rely on, as data: public names with their signatures, commands with their options, fields of recipes.

``make surface`` (``python -m tests.contracts.surface --write``) writes it to ``api_surface.json``, beside this file.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("api_surface.json")
PUBLIC = ("iqaloss", "iqaloss.losses")
"""Modules of which every name in ``__all__`` is public."""

DOORS = {
    "iqaloss.data.open": ("open_images", "open_rated"),
    "iqaloss.evaluation.panel": ("JUDGES", "Judge", "Panel", "load_panel"),
    "iqaloss.evaluation.patterns": ("line_power", "pattern_rise", "total_variation"),
    "iqaloss.losses.registry": ("list_losses", "loss_class", "loss_options", "read_spec", "register_loss"),
    "iqaloss.scorers.base": ("Scorer",),
    "iqaloss.scorers.cards": ("ScorerCard", "WeightFile"),
    "iqaloss.scorers.checkpoints": ("save",),
    "iqaloss.scorers.factory": ("create_tiny",),
    "iqaloss.scorers.registry": ("entry", "register_scorer"),
    "iqaloss.scorers.request": ("Request", "ScoreOutput"),
}
"""Further names that users are told of, by the module that has them."""

Surface = dict[str, dict[str, Any]]


def surface() -> Surface:
    """Everything that may change on purpose only."""
    return {"names": names(), "losses": losses(), "commands": commands(), "recipes": recipes()}


def names() -> dict[str, Any]:
    """Signatures of the public names; of a class also those of its public methods."""
    found: dict[str, Any] = {}
    for module in PUBLIC:
        for name in importlib.import_module(module).__all__:
            found[f"{module}.{name}"] = described(getattr(importlib.import_module(module), name))
    for module, listed in DOORS.items():
        for name in listed:
            found[f"{module}.{name}"] = described(getattr(importlib.import_module(module), name))
    return found


def described(thing: Any) -> Any:
    """A function's signature, a class's with its methods, a value's type."""
    if inspect.isclass(thing):
        return {"(call)": signature(thing), **dict(members(thing))}
    return signature(thing) if callable(thing) else type(thing).__name__


def signature(function: Any) -> str:
    """A signature as it is written."""
    text = str(inspect.signature(function))
    if " at 0x" in text:
        raise ValueError(f"{function} has a default that looks different in each run: {text}")
    return text


def members(cls: type) -> Iterator[tuple[str, str]]:
    """Public methods and properties that the package itself defines, inherited ones included."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith("iqaloss")]
    for name in sorted({name for base in ours for name in vars(base) if not name.startswith("_")}):
        value = inspect.getattr_static(cls, name)
        if isinstance(value, (classmethod, staticmethod)) or inspect.isfunction(value):
            yield name, signature(getattr(cls, name))
        elif isinstance(value, property):
            yield name, "property"


def losses() -> dict[str, Any]:
    """Options of every loss, as a recipe may name them."""
    from iqaloss.losses.options import loss_options
    from iqaloss.losses.registry import list_losses, loss_class

    return {
        name: {option: shown(default) for option, default in loss_options(loss_class(name)).items()}
        for name in list_losses()
    }


def shown(default: Any) -> str:
    """A default as it is written; of an option without one that it is needed."""
    if default is inspect.Parameter.empty:
        return "needed"
    return repr(str(default)) if isinstance(default, Path) else repr(default)


def commands() -> dict[str, Any]:
    """Arguments and options of every command."""
    from iqaloss.cli.app import app

    return dict(commands_of(app, "iqaloss"))


def commands_of(app: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Walks a typer application and those below it."""
    for command in app.registered_commands:
        own = command.name or command.callback.__name__.replace("_", "-")
        parameters = inspect.signature(command.callback, eval_str=True).parameters.values()
        yield f"{name} {own}", dict(accepted(each) for each in parameters if not is_context(each))
    for group in app.registered_groups:
        yield from commands_of(group.typer_instance, f"{name} {group.name}")


def is_context(parameter: inspect.Parameter) -> bool:
    """Whether typer hands in its own state there, which nobody types."""
    return inspect.isclass(parameter.annotation) and parameter.annotation.__name__ == "Context"


def accepted(parameter: inspect.Parameter) -> tuple[str, str]:
    """How an option is typed, and what it takes."""
    kind, *notes = typing.get_args(parameter.annotation) or (parameter.annotation,)
    # Inside Annotated, typer takes the first flag for a default until it reads the command.
    given = [(getattr(note, "default", None), *(getattr(note, "param_decls", None) or ())) for note in notes]
    flags = [flag for each in given for flag in each if isinstance(flag, str) and flag.startswith("-")]
    argument = any(type(note).__name__ == "ArgumentInfo" for note in notes)
    label = parameter.name if argument else " ".join(flags) or "--" + parameter.name.replace("_", "-")
    # Python 3.13 keeps its paths in a module of its own.
    said = kind.__name__ if inspect.isclass(kind) else str(kind).replace("pathlib._local.", "pathlib.")
    return label, f"{said}, {shown(parameter.default)}"


def recipes() -> dict[str, Any]:
    """Fields of every dataclass that a training recipe is made of."""
    from iqaloss.training.specs.recipe import Recipe

    return {cls.__name__: dict(fields_of(cls)) for cls in sorted(reachable(Recipe), key=lambda cls: cls.__name__)}


def reachable(cls: Any) -> set[type]:
    """A dataclass and those in the types of its fields."""
    found: set[type] = set()
    waiting = [cls]
    while waiting:
        kind = waiting.pop()
        waiting += typing.get_args(kind)
        if inspect.isclass(kind) and dataclasses.is_dataclass(kind) and kind not in found:
            found.add(kind)
            waiting += typing.get_type_hints(kind).values()
    return found


def fields_of(cls: Any) -> Iterator[tuple[str, str]]:
    """Type and default of each field."""
    for field in dataclasses.fields(cls):
        has_none = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        default = "made" if field.default is dataclasses.MISSING else repr(field.default)
        yield field.name, f"{field.type}, needed" if has_none else f"{field.type} = {default}"


def flat(node: Any, prefix: str = "") -> dict[str, str]:
    """A surface as one line for each fact."""
    if not isinstance(node, dict):
        return {prefix: str(node)}
    lines: dict[str, str] = {} if node else {prefix: "nothing"}
    for key, value in node.items():
        lines |= flat(value, f"{prefix} > {key}" if prefix else key)
    return lines


def differences(before: Surface, now: Surface) -> list[str]:
    """What is gone, what is new and what changed, one line each."""
    old, new = flat(before), flat(now)
    gone = [f"gone     {name}: {old[name]}" for name in old.keys() - new.keys()]
    added = [f"new      {name}: {new[name]}" for name in new.keys() - old.keys()]
    changed = [
        f"changed  {name}: {old[name]} -> {new[name]}" for name in old.keys() & new.keys() if old[name] != new[name]
    ]
    return sorted(gone) + sorted(added) + sorted(changed)


def recorded() -> Surface:
    """The surface that was accepted last."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def main(words: list[str]) -> int:
    """Says what changed; with ``--write`` accepts it."""
    now = surface()
    changes = differences(recorded() if FILE.is_file() else {}, now)
    sys.stdout.write("".join(f"{line}\n" for line in changes) or "nothing changed\n")
    if "--write" in words:
        FILE.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
