"""What does a person type? ``iqaloss --help`` tells."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

from iqaloss._stopping import stoppable


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; the console entry point.

    Args:
        arguments: The words after ``iqaloss``; those of the shell by default.

    Returns:
        The exit status: 0, or 2 where something that was given is wrong, or 1; 130 or 143 where it was stopped.

    Example:
        >>> main(["scorers"])  # doctest: +SKIP
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if any(importlib.util.find_spec(package) is None for package in ("typer", "rich")):
        sys.stderr.write("the command line needs typer and rich: pip install 'iqaloss[cli]'\n")
        return 1
    with stoppable() as stopped:
        try:
            from iqaloss.cli.app import run

            status = run(words)
            if not stopped:
                return status
        except BaseException:
            # Ctrl-C inside an import or a library may come out as an error of that library.
            if not stopped:
                raise
        sys.stderr.write(f"iqaloss: stopped{how_to_go_on(words)}\n")
        return 128 + stopped[0]


def how_to_go_on(words: Sequence[str]) -> str:
    """Returns what a person does to go on with a command that was stopped.

    Example:
        >>> how_to_go_on(["finetune", "mdiqa-mobile"])
        '; what was saved is whole, and the same command with --resume goes on from there'
    """
    if words[:1] == ["search"]:
        return "; the trials that ended are kept, and the same command goes on from there"
    if words[:1] in (["train"], ["finetune"], ["tune"]) or words[:2] in (["restore", "train"], ["rank", "calibrate"]):
        return "; what was saved is whole, and the same command with --resume goes on from there"
    if words[:1] in (["score"], ["evaluate"]) and any(word.partition("=")[0] == "--out" for word in words):
        return "; what was written is whole, and the same command goes on from there"
    return ""
