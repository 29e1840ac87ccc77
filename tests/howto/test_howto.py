"""Every how-to page is followed to the letter, in a copy of the project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testing.howto import ROOT, Block, changed, copy_project, files, follow

PAGES = sorted((ROOT / "docs" / "howto").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_following_the_page_works(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    printed = follow(text, copy_project(tmp_path))
    assert printed, f"{page.name} runs nothing, so it proves nothing"
    ran = [int(number) for output in printed for number in re.findall(r"(\d+) passed", output)]
    assert ran, f"{page.name} runs no test"
    assert all(ran)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_at_most_six_places(page: Path) -> None:
    assert 1 <= len(files(page.read_text(encoding="utf-8"))) <= 6


def test_there_is_a_page_for_each_thing_to_add() -> None:
    want = {"scorer", "loss_option", "framework_adapter", "published_layout", "command"}
    assert {page.stem.removeprefix("add_a_") for page in PAGES} >= want


def test_a_page_about_lines_that_are_gone_is_found_out() -> None:
    with pytest.raises(ValueError, match="f has 0 places"):
        changed("a\n", Block("diff", "f", "-gone\n+new\n"))


def test_a_page_whose_command_fails_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit 3"):
        follow('```sh\npython -c "exit(3)"  # exit 3\n```\n'.replace("exit(3)", "raise SystemExit('exit 3')"), tmp_path)
