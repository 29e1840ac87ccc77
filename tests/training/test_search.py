"""A search trains once a trial, goes on where it was stopped, and finds the better values."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iqaloss.training.search import Range, Trial, search
from iqaloss.training.specs.recipe import Recipe
from testing.tiny_data import small_recipe, write_rated_images

pytest.importorskip("optuna", reason="optuna is not installed (extra search)")
OVER = (Range.read("optimizer.lr=1e-4:1e-2:log"), Range.read("run.seed=1,2"))


def good_near(recipe: Recipe, folder: Path) -> float:
    """Stands for a training: best at a rate of a thousandth and with the second seed."""
    return -abs(recipe.optimizer.lr - 1e-3) * 100 + recipe.run.seed


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    return small_recipe(write_rated_images(tmp_path_factory.mktemp("rated"), count=4))


def test_it_finds_the_better_values_and_says_how_to_have_them_again(values: dict[str, object], tmp_path: Path) -> None:
    told: list[Trial] = []
    found = search(values, OVER, tmp_path, trials=12, train=good_near, tell=told.append)
    assert len(found) == len(told) == 12
    assert found[0].value == max(one.value or 0.0 for one in told)
    assert found[0].changes[1] == "run.seed=2"
    assert [one.value for one in found] == sorted((one.value or 0.0 for one in told), reverse=True)


def test_it_goes_on_where_it_was_stopped(values: dict[str, object], tmp_path: Path) -> None:
    def stop(recipe: Recipe, folder: Path) -> float:
        if folder.name == "trial_002":
            raise KeyboardInterrupt
        return 0.5

    with pytest.raises(KeyboardInterrupt):
        search(values, OVER, tmp_path, trials=4, train=stop)
    found = search(values, OVER, tmp_path, trials=4, train=good_near)
    assert sum(one.value is not None for one in found) == 4
    assert search(values, OVER, tmp_path, trials=4, train=stop) == found
    assert found[-1].value is None


@pytest.mark.parametrize("text", ["lr", "lr=1", "lr=2:1", "lr=0:1:log", "lr=a:b", "=1:2", "lr=1:2:3", "lr=1,"])
def test_what_is_no_range_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="--over takes"):
        Range.read(text)


def test_a_key_is_varied_once(values: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="each once"):
        search(values, [OVER[0], OVER[0]], tmp_path, trials=1, train=good_near)


@pytest.mark.slow
def test_the_command_trains_and_names_the_scorer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("typer", reason="typer is not installed (extra cli)")
    from iqaloss.cli import main

    table = write_rated_images(tmp_path / "rated", count=12)
    words = ["search", "mdiqa-mobile", "--data", str(table), "--weights", "none", "--out", str(tmp_path / "out")]
    words += ["--set", "scorer.size=tiny", "--set", "run.epochs=1", "--set", "data.train.0.transform.crop=64"]
    assert main([*words, "--over", "optimizer.lr=1e-5:1e-3:log", "--trials", "2", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["trial"] for row in rows} == {0, 1}
    assert all((tmp_path / "out" / f"trial_00{row['trial']}" / "best.safetensors").is_file() for row in rows)
