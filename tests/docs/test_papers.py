"""The page of the papers: what it says a reader types is built as it stands there, small."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import pairwise

import pytest

from iqaloss.training.engine.building import build_task
from iqaloss.training.recipes.files import read_values, recipe_from
from testing.howto import ROOT
from testing.pages import mentioned

for package in ("yaml", "scipy", "timm", "typer"):
    pytest.importorskip(package)
PAGE = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8")


def trainings() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The recipe of each training on the page, with the changes that the command makes of it."""
    for command in mentioned(PAGE):
        words = shlex.split(command)
        if words[1] not in ("train", "protocol", "search") or not words[2:]:
            continue
        given = [(option, value) for option, value in pairwise(words) if option in ("--set", "--variant")]
        always = tuple(value for option, value in given if option == "--set")
        for variant in [value for option, value in given if option == "--variant"] or [""]:
            yield words[2], (*always, *variant.split())


def small(change: str) -> str:
    """A change for a scorer of two blocks."""
    return "scorer.options.blocks=[1]" if change.startswith("scorer.options.blocks") else change


@pytest.mark.parametrize(
    ("recipe", "changes"), [pytest.param(*one, id=" ".join((one[0], *one[1]))) for one in trainings()]
)
def test_a_training_of_the_page_is_built_as_it_stands_there(recipe: str, changes: tuple[str, ...]) -> None:
    if recipe.startswith(("sr_iqa", "mdiqa_fusion")):
        pytest.importorskip("open_clip")
    values = read_values(recipe)
    values["scorer"]["size"], values["start"] = "tiny", []
    if "tokenizer" in values.get("options", {}):
        values["options"]["tokenizer"] = None
    task = build_task(recipe_from(values, [small(change) for change in changes if not change.startswith("start.")]))
    task.configure(0)
    assert any(value.requires_grad for value in task.parameters())


def test_no_row_says_by_hand_and_each_has_a_command() -> None:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert len(rows) > 40
    for _, what, command in rows[1:]:
        assert "by hand" not in command, what
        assert "`iqaloss " in command, what
