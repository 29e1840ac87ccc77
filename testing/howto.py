"""How-to pages as programs: their files are written, their changes applied and their commands run in a copy.

A page is Markdown. Blocks that begin with ```` ```python file=PATH ```` are files, ```` ```diff file=PATH ```` changes
of files, ```` ```sh ```` commands. A block that names no file is there to be read.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
COPIED = ("iqaloss", "testing", "tests", "benchmarks", "docs", "pyproject.toml", "README.md")
"""What the commands of the pages need."""

_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        kind: Its language: python, diff, sh.
        file: The file that it makes or changes, from the project's root.
        text: What stands in it.
    """

    kind: str
    file: str | None
    text: str


def blocks(text: str) -> list[Block]:
    """The blocks of a page, in order."""
    return [Block(kind, file or None, body) for kind, file, body in _BLOCK.findall(text)]


def files(text: str) -> set[str]:
    """The files that a page makes or changes."""
    return {block.file for block in blocks(text) if block.file is not None}


def copy_project(to: Path) -> Path:
    """Copies what the pages change into an empty folder."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__", "*.png", "golden"))
        else:
            shutil.copy(source, to / name)
    return to


def follow(text: str, root: Path) -> list[str]:
    """Does what a page says in a copy of the project, and returns what each of its commands printed.

    Raises:
        ValueError: If the page describes lines that are not there, or would overwrite a file.
        RuntimeError: If a command fails.
    """
    printed: list[str] = []
    for block in blocks(text):
        if block.kind == "sh":
            printed += [run(line, root) for line in commands(block.text)]
        elif block.file is not None:
            path = root / block.file
            if block.kind == "diff":
                path.write_text(changed(path.read_text(encoding="utf-8"), block), encoding="utf-8")
            elif path.exists():
                raise ValueError(f"{block.file} is there already; a change of it is a diff")
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
    return printed


def commands(text: str) -> list[str]:
    """The lines of a shell block without their comments."""
    return [line for line in (line.partition("  #")[0].strip() for line in text.splitlines()) if line]


def changed(text: str, block: Block) -> str:
    """A file with a diff's lines taken out and put in; an empty line of the diff parts two places.

    Example:
        >>> changed("a\\nb\\nc\\n", Block("diff", "f", " a\\n-b\\n+B\\n"))
        'a\\nB\\nc\\n'
    """
    for place in block.text.strip("\n").split("\n\n"):
        lines = place.splitlines()
        before = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
        after = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
        found = f"\n{text}".count(f"\n{before}")
        if found != 1:
            raise ValueError(f"{block.file} has {found} places with these lines, not one:\n{before}")
        text = f"\n{text}".replace(f"\n{before}", f"\n{after}")[1:]
    return text


def run(command: str, root: Path) -> str:
    """Runs one command of a page in the copy, with this Python."""
    words = command.split(" ", 1)
    rest = words[1] if words[1:] else ""
    starts = {"python": f'"{sys.executable}" {rest}', "iqaloss": f'"{sys.executable}" -m iqaloss.cli {rest}'}
    environment = {**os.environ, "PYTHONPATH": str(root), "COLUMNS": "120"}
    done = subprocess.run(
        starts.get(words[0], command), shell=True, cwd=root, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"`{command}` failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout
