"""Commands of the documentation, told from its text and held against the real command line."""

from __future__ import annotations

import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import typer.main

from testing.howto import ROOT, blocks, commands

INLINE = re.compile(r"`((?:iqaloss|python -m|python|make) [^`]+)`")
PLACEHOLDER = re.compile(r"^[A-Z][A-Z_.0-9]*$")
FIGURES = re.compile(r"<!-- figures: (\S+) -->\n(.*?)\n(?!\|)", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]\d+)?(?![\w]|\.\d)")


def pages() -> list[Path]:
    """Every page that a user reads."""
    own = [ROOT / "README.md", ROOT / "restoration_recipes" / "README.md", *(ROOT / "examples").rglob("*.md")]
    return [*own, *sorted((ROOT / "docs").glob("*.md"))]


def shell(text: str) -> list[str]:
    """The shell blocks of a page, as they are pasted."""
    return [block.text for block in blocks(text) if block.kind == "sh"]


def typed(text: str) -> list[str]:
    """The lines of the shell blocks of a page; a backslash continues one."""
    shells = [re.sub(r"\\\n|\$STEPS", lambda found: "1" if found[0][0] == "$" else " ", each) for each in shell(text)]
    return [" ".join(line.split()) for each in shells for line in commands(each)]


def mentioned(text: str) -> list[str]:
    """The commands that stand inside its sentences."""
    return [found for found in INLINE.findall(text) if "..." not in found and "COMMAND" not in found]


def complaint(line: str, whole: bool) -> str | None:
    """What is wrong with a command of a page, if anything is.

    Args:
        line: The command.
        whole: Whether a person can paste it: then nothing that it needs is left out.
    """
    words = shlex.split(line)
    if words[0] == "pip":
        return _extras(words)
    if words[0] == "make":
        targets = re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE)
        return None if words[1] in targets else f"the Makefile has no {words[1]}"
    if words[0] == "python" and words[1].startswith("../"):
        words[1] = words[1][3:]  # from a folder inside the clone
    if words[:2] == ["python", "-m"]:
        return None if importlib.util.find_spec(words[2]) else f"there is no module {words[2]}"
    if words[0] == "python":
        return None if (ROOT / words[1]).is_file() else f"there is no file {words[1]}"
    return _parsed(words[1:], whole) if words[0] == "iqaloss" else None


def _extras(words: list[str]) -> str | None:
    known = re.findall(r'^(?:    |EXTRAS\[)"(\w+)"\]?(?::| =)', (ROOT / "setup.py").read_text(), re.MULTILINE)
    asked = [extra for word in words for part in re.findall(r"\[([\w,]+)\]", word) for extra in part.split(",")]
    return next((f"there is no extra {extra}" for extra in asked if extra not in known), None)


def _parsed(words: list[str], whole: bool) -> str | None:
    """What the command line says of it; the command itself is not run."""
    from iqaloss.cli.app import app

    command: Any = typer.main.get_command(app)
    name = "iqaloss"
    while getattr(command, "commands", None) and words:
        if words[0] not in command.commands:
            return f"there is no command {name} {words[0]}"
        name, command, words = f"{name} {words[0]}", command.commands[words[0]], words[1:]
    if getattr(command, "commands", None):
        return f"{name} needs a command: {', '.join(command.commands)}" if whole else None
    try:
        params = command.make_context(name, list(words)).params
    except Exception as error:
        lacks = type(error).__name__ == "MissingParameter"
        return None if lacks and not whole else f"{type(error).__name__}: {getattr(error, 'message', error)}"
    return _names(name, params)


def _names(name: str, params: dict[str, Any]) -> str | None:
    """Names of scorers, recipes, losses and recipes' files that a command is given."""
    from iqaloss import list_scorers
    from iqaloss.losses.registry import list_losses
    from iqaloss.training.recipes import list_recipes

    def unknown(kind: str, given: Any, known: list[str]) -> str | None:
        many = [given] if isinstance(given, str) else list(given or ())
        wrong = [
            str(one) for one in many if str(one).partition("(")[0] not in known and not PLACEHOLDER.match(str(one))
        ]
        return f"there is no {kind} {wrong[0]}" if wrong else None

    scorers, losses = list_scorers(), list_losses()
    found: list[str | None] = []
    if "scorer" in params and not str(params["scorer"]).startswith("pyiqa:"):
        found.append(unknown("scorer", params["scorer"], scorers))
    if name in ("iqaloss train", "iqaloss protocol") and params.get("recipe"):
        found.append(unknown("recipe", str(params["recipe"]), list_recipes()))
    if name == "iqaloss tune":
        found.append(unknown("loss", params["loss"], losses))
    if name == "iqaloss bench":
        found.append(unknown("loss", params["losses"], losses))
    if name == "iqaloss probe":
        found.append(unknown("scorer or loss", params["name"], [*scorers, *losses]))
    if name == "iqaloss restore train" and not PLACEHOLDER.match(str(params["opt"])):
        recipe = ROOT / str(params["opt"]).removeprefix("../")
        found.append(None if recipe.is_file() else f"there is no recipe {recipe}")
    return next(filter(None, found), None)


def lost_figures(page: Path) -> list[str]:
    """Figures of a page's tables that do not stand in the file that the table names."""
    lost = []
    for source, table in FIGURES.findall(page.read_text(encoding="utf-8") + "\n"):
        there = set(NUMBER.findall((page.parent / source).read_text(encoding="utf-8")))
        for line in table.splitlines()[2:]:
            cells = line.strip("| ").split("|")[1:]
            lost += [
                f"{number} in {line!r}, not in {source}"
                for cell in cells
                for number in NUMBER.findall(cell)
                if number not in there
            ]
    return lost
