"""Each value of each recipe replaced by odd ones, or left out: an error with the file and the field, or a recipe."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from iqaloss.training.recipes import list_recipes
from iqaloss.training.recipes.files import read_values, recipe_from
from testing.hostile import spoilt

pytest.importorskip("yaml")


def hold(name: str, every: int = 1) -> Counter[str]:
    """Asserts the law for a recipe, or for one in so many ways to spoil it; returns how these ended."""
    ended: Counter[str] = Counter()
    for done, values in islice(spoilt(read_values(name)), 0, None, every):
        try:
            recipe_from(values, where=f"{name}.yaml")
        except ValueError as error:
            words = [word for word in done.rpartition(":")[0].split(".") if not word.isdigit()]
            said = str(error).replace(name, "")
            assert ".yaml" in said, f"{done}: {said}"
            assert any(word in said for word in words[-2:]), f"{done}: {said}"
            assert len(said) < 2000
            ended["told"] += 1
        else:
            ended["read"] += 1
    return ended


@pytest.mark.parametrize("name", list_recipes())
def test_a_spoilt_recipe_is_told_with_file_and_field_or_read(name: str) -> None:
    hold(name, every=131)


@pytest.mark.slow
def test_any_spoilt_recipe_is_told_with_file_and_field_or_read(capsys: pytest.CaptureFixture[str]) -> None:
    ended = sum((hold(name) for name in list_recipes()), Counter())
    with capsys.disabled():
        print(f"\nrecipes of scorers: {ended.total()} spoilt, {ended['told']} told, {ended['read']} read")
    assert ended["told"] > ended["read"]
