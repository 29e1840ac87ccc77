"""The house keeps its shape: imports run downwards and never in a circle, modules stay small, one place for each."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

grimp = pytest.importorskip("grimp", reason="import-linter is in the extra `dev`")

ROOT = Path(__file__).parent.parent.parent
MODULES = sorted((ROOT / "iqaloss").rglob("*.py"))
LONGEST, ALL_LINES = 250, 33_304


@functools.cache
def imports() -> Mapping[str, frozenset[str]]:
    """Module to the modules that it imports: at the top, inside functions and for types alone."""
    graph = grimp.build_graph("iqaloss", exclude_type_checking_imports=False, cache_dir=None)
    return {module: frozenset(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def circles(edges: Mapping[str, frozenset[str]]) -> list[list[str]]:
    """The strongly connected components of more than one node, by Tarjan's algorithm.

    >>> circles({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b")})
    [['b', 'c']]
    """
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for other in sorted(edges[node]):
            if other not in order:
                visit(other)
            if other in stack:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == order[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in sorted(edges):
        if node not in order:
            visit(node)
    return found


def test_a_circle_of_imports_is_found() -> None:
    assert circles({"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("bd"), "d": frozenset()}) == [["b", "c"]]


def test_no_imports_run_in_a_circle() -> None:
    assert not circles(imports()), "; ".join(" <-> ".join(circle) for circle in circles(imports()))


def test_no_module_is_longer_than_a_reader_holds() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert not {name: lines for name, lines in lengths.items() if lines > LONGEST}
    assert sum(lengths.values()) <= ALL_LINES


def calls(path: Path) -> Iterator[str]:
    """The dotted names that a module calls."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize(
    ("name", "where"),
    [("os.replace", "iqaloss/_files.py"), ("spearmanr", "iqaloss/evaluation/agreement/correlations.py")],
)
def test_it_is_done_in_one_place(name: str, where: str) -> None:
    places = {
        str(path.relative_to(ROOT))
        for path in MODULES
        if any(call == name or call.endswith(f".{name}") for call in calls(path))
    }
    assert places == {where}
