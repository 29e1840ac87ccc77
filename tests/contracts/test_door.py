"""What an outsider meets first says the same as the code: workflows, hooks, versions, links."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from iqaloss import __version__

ROOT = Path(__file__).parent.parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
HOOKS = ROOT / ".pre-commit-config.yaml"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/README.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def make_targets() -> set[str]:
    """The targets that the Makefile has."""
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def commands(node: Any) -> list[str]:
    """Every command in a workflow or in the hooks' configuration."""
    if isinstance(node, dict):
        own = [str(node[key]) for key in ("run", "entry") if isinstance(node.get(key), str)]
        return own + [command for value in node.values() for command in commands(value)]
    if isinstance(node, list):
        return [command for value in node for command in commands(value)]
    return []


def test_there_is_a_workflow() -> None:
    assert WORKFLOWS


@pytest.mark.parametrize("path", [*WORKFLOWS, HOOKS], ids=lambda path: path.name)
def test_every_command_is_a_target_of_the_makefile(path: Path) -> None:
    found = commands(load(path))
    assert found
    for command in found:
        words = command.split()
        assert words[0] == "make", f"{path.name} runs {command!r}, which a person could not run as a make target"
        assert words[1] in make_targets(), f"{path.name} calls {command!r}; the Makefile has {sorted(make_targets())}"


def test_a_target_that_is_asked_for_is_always_made() -> None:
    text = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"[a-z-]+", text.partition(".PHONY:")[2].partition("\n")[0]))
    assert make_targets() == phony


def test_the_workflow_tests_every_python_that_setup_names() -> None:
    matrix = load(ROOT / ".github" / "workflows" / "check.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    minors = re.search(r"for minor in \(([\d, ]+)\)", (ROOT / "setup.py").read_text())
    assert minors is not None
    assert matrix == [f"3.{minor.strip()}" for minor in minors[1].split(",")]


def test_the_citation_names_this_version() -> None:
    assert load(ROOT / "CITATION.cff")["version"] == __version__


def test_the_changelog_has_unreleased_on_top_and_this_version_below() -> None:
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert heads[1] == __version__


def test_the_oldest_versions_that_are_tested_are_the_lower_bounds() -> None:
    text = (ROOT / "constraints" / "oldest.txt").read_text()
    oldest = dict(re.findall(r"^([\w-]+)==([\d.]+)$", text, re.MULTILINE))
    required = dict(re.findall(r'"([\w-]+)>=([\d.]+)"', (ROOT / "setup.py").read_text()))
    assert {"torch", "torchvision", "timm", "kornia", "einops", "safetensors"} <= set(oldest)
    for package, version in oldest.items():
        numbers, bound = ([int(number) for number in text.split(".")] for text in (version, required[package]))
        assert numbers[: len(bound)] == bound, f"setup.py asks for {package}>={required[package]}, tested is {version}"


def test_both_ends_of_the_versions_get_every_extra_but_basicsr() -> None:
    setup = (ROOT / "setup.py").read_text()
    extras = {*re.findall(r'^    "(\w+)": \[', setup, re.M), *re.findall(r'^EXTRAS\["(\w+)"\]', setup, re.M)}
    given = re.search(r"^EXTRAS := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert given is not None
    assert set(given[1].split(",")) == extras - {"basicsr", "all"}


def test_contributing_fits_on_a_screen() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 66


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "README.md"])
def test_every_room_is_named(page: str) -> None:
    rooms = {path.parent.name for path in (ROOT / "iqaloss").glob("*/__init__.py")}
    assert rooms == set(re.findall(r"^\| `iqaloss/(\w+)/` \|", (ROOT / page).read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith(("#", "mailto:")):
            continue
        assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"
