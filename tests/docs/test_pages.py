"""What pages tell a person to type is what the command line takes, and their figures are those that were measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from testing.howto import ROOT

pytest.importorskip("typer", reason="typer is not installed (extra cli)")
from testing.pages import complaint, lost_figures, mentioned, pages, typed


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_parses_and_names_what_there_is(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = {line: complaint(line, True) for line in typed(text)}
    found |= {line: complaint(line, False) for line in mentioned(text) if line not in found}
    assert not {line: wrong for line, wrong in found.items() if wrong}


def test_every_figure_of_a_table_stands_in_the_file_that_it_names() -> None:
    with_figures = [page for page in pages() if "<!-- figures:" in page.read_text(encoding="utf-8")]
    assert with_figures
    assert not [lost for page in with_figures for lost in lost_figures(page)]


def test_a_figure_that_was_never_measured_is_found_out(tmp_path: Path) -> None:
    (tmp_path / "results.md").write_text("| a | 1.25 |\n")
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: results.md -->\n| loss | ms |\n|---|---|\n| 7 | 1.25 |\n| b | 1.3 |\n\nText.\n")
    assert lost_figures(page) == ["1.3 in '| b | 1.3 |', not in results.md"]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("iqaloss tunes 4x.pth", "there is no command iqaloss tunes"),
        ("iqaloss tune 4x.pth --photos a --out b", "NoSuchOption"),
        ("iqaloss tune 4x.pth --out b", "MissingParameter"),
        ("iqaloss tune 4x.pth --images a --out b --loss MDIQALos", "there is no loss MDIQALos"),
        ("iqaloss finetune mdiqa-mobil --data a.csv", "there is no scorer mdiqa-mobil"),
        ("pip install 'iqaloss[clii]'", "there is no extra clii"),
        ("python -m benchmarks.nothing", "there is no module"),
        ("make sites", "the Makefile has no sites"),
    ],
)
def test_a_command_that_would_fail_is_found_out(line: str, wrong: str) -> None:
    assert (complaint(line, True) or "").startswith(wrong)
