"""The notebooks: committed without outputs, made of code and commands that exist, and run to their end."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testing.howto import ROOT
from testing.pages import complaint

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
SMALL = {"STEPS": "2", "EPOCHS": "1"}
"""What makes them short; they read it from the environment."""

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def code(path: Path) -> list[ast.Module]:
    """The cells as Python, without the notebook's own commands."""
    sources = ("".join(cell["source"]) for cell in cells(path))
    return [ast.parse(re.sub(r"^%.*$", "", source, flags=re.MULTILINE)) for source in sources]


def nodes(path: Path) -> Iterator[ast.AST]:
    for module in code(path):
        yield from ast.walk(module)


def command(words: ast.expr) -> str:
    """A command line out of a string, whose blanks are filled with what parses."""
    pieces = words.values if isinstance(words, ast.JoinedStr) else [words]
    text = "".join(str(piece.value) if isinstance(piece, ast.Constant) else "{}" for piece in pieces)
    return "iqaloss " + text.replace("'{}'", "MDIQALoss").replace("{}", "1")


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["finetune_a_scorer", "score_and_explain", "tune_with_a_sweep"]


@each
def test_it_is_committed_without_outputs(path: Path) -> None:
    assert cells(path)
    assert not [cell for cell in cells(path) if cell["outputs"] or cell["execution_count"] is not None]


@each
def test_what_it_imports_is_there(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("iqaloss"):
            module = importlib.import_module(str(node.module))
            absent = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not [name for name in absent if importlib.util.find_spec(f"{node.module}.{name}") is None]


@each
def test_its_commands_parse(path: Path) -> None:
    pytest.importorskip("typer", reason="typer is not installed (extra cli)")
    called = [node for node in nodes(path) if isinstance(node, ast.Call) and ast.unparse(node.func) == "iqaloss"]
    assert called or path.stem == "score_and_explain"
    for call in called:
        line = command(call.args[0])
        assert complaint(line, True) is None, f"{line}: {complaint(line, True)}"


@pytest.mark.slow
@each
def test_it_runs_to_its_end(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed (extra dev)")
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed (extra dev)")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed (extra dev)")
    pytest.importorskip("skimage", reason="the notebooks show photographs that come with scikit-image")
    for name, value in {**SMALL, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    notebook = nbformat.read(path, as_version=4)
    folder = tmp_path / "examples" / "notebooks"
    nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(folder)}}).execute()
    shown = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert "image/png" in shown or "SRCC" in shown
