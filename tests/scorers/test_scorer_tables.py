"""The tables of scorers that are checked in are those that the code prints."""

from __future__ import annotations

import json

import pytest

from benchmarks.scorer_costs import COUNTS, PAGE, README, count, page, readme
from iqaloss import list_scorers

MAKE = "run python -m benchmarks.scorer_costs --no-count"


def test_the_page_of_scorers_is_what_the_cards_say() -> None:
    counts = json.loads(COUNTS.read_text())
    assert sorted(counts["scorers"]) == list_scorers(), "run python -m benchmarks.scorer_costs"
    assert PAGE.read_text(encoding="utf-8") == page(counts), MAKE


def test_the_table_in_the_readme_is_what_the_cards_say() -> None:
    text = README.read_text(encoding="utf-8")
    assert readme(text) == text, MAKE


def test_a_readme_without_the_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="has 0 places between <!-- scorers -->"):
        readme("# iqaloss\n")


@pytest.mark.parametrize("name", ["mdiqa-mobile", "pmt-iqa"])
def test_the_stored_counts_are_those_of_the_code(name: str) -> None:
    assert json.loads(COUNTS.read_text())["scorers"][name] == count(name)
