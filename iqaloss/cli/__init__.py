"""What does a person type? ``iqaloss --help`` tells."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; the console entry point.

    Args:
        arguments: The words after ``iqaloss``; those of the shell by default.

    Returns:
        The exit status: 0, or 2 where something that was given is wrong, or 1.

    Example:
        >>> main(["scorers"])  # doctest: +SKIP
    """
    if any(importlib.util.find_spec(package) is None for package in ("typer", "rich")):
        sys.stderr.write("the command line needs typer and rich: pip install 'iqaloss[cli]'\n")
        return 1
    from iqaloss.cli.app import run

    return run(sys.argv[1:] if arguments is None else list(arguments))
