"""What ``evaluate`` takes for human scores, and when it trusts what it scored before."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iqaloss.cli import main
from iqaloss.evaluation.scoring import runner

pytest.importorskip("typer")
parquet = pytest.importorskip("pyarrow.parquet")

COUNT = 6


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for index in range(COUNT):
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the pictures that a scorer sees."""
    seen: list[int] = []
    whole = runner._score_batch
    monkeypatch.setattr(
        runner, "_score_batch", lambda scorer, batch, *more: seen.append(len(batch)) or whole(scorer, batch, *more)
    )
    return seen


def write(path: Path, values: list[float], column: str = "mos", **more: list[float]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [",".join(["image", column, *more])]
    rows += [",".join([f"{i}.png", str(v), *(str(cells[i]) for cells in more.values())]) for i, v in enumerate(values)]
    path.write_text("\n".join(rows) + "\n")
    return path


RISING = [float(value) for value in range(COUNT)]


def measured(capsys: pytest.CaptureFixture[str], photos: Path, weights: Path, *words: str) -> dict[str, float]:
    status = main(["evaluate", "mdiqa-mobile", "--weights", str(weights), "--bootstrap", "0", "--json", *words])
    said = capsys.readouterr()
    assert status == 0, said.err
    return dict(json.loads(said.out))


def on(table: Path, photos: Path, out: Path) -> list[str]:
    return ["--data", str(table), "--images", str(photos), "--out", str(out)]


# --- what was scored before ---


def test_corrected_scores_are_measured_and_nothing_is_scored_again(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], scored: list[int]
) -> None:
    table, out = tmp_path / "t.csv", tmp_path / "out"
    before = measured(capsys, photos, weights, *on(write(table, RISING), photos, out))
    assert sum(scored) == COUNT
    after = measured(capsys, photos, weights, *on(write(table, RISING[::-1]), photos, out))
    assert after["srcc"] == -before["srcc"]
    assert sum(scored) == COUNT
    (part,) = out.glob("scores/*/*/part-*.parquet")
    assert parquet.read_table(part)["target"].to_pylist() == RISING[::-1]


def test_another_question_of_the_same_pictures_is_answered(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path / "t.csv", RISING, sharpness=RISING, contrast=RISING[::-1])
    for dimension in ("sharpness", "contrast"):
        kept = measured(capsys, photos, weights, *on(table, photos, tmp_path / "out"), "--dimension", dimension)
        alone = measured(
            capsys, photos, weights, "--data", str(table), "--images", str(photos), "--dimension", dimension
        )
        assert kept == alone


def test_two_tables_of_one_name_have_two_results(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*on(write(tmp_path / "a" / "t.csv", RISING), photos, tmp_path / "out")]
    words += ["--data", str(write(tmp_path / "b" / "t.csv", RISING[::-1])), "--images", str(photos)]
    words += ["--data", str(tmp_path / "b" / "t.csv"), "--images", str(photos)]
    assert main(["evaluate", "mdiqa-mobile", "--weights", str(weights), "--bootstrap", "0", "--json", *words]) == 0
    first, second, third = json.loads(capsys.readouterr().out)
    assert [row["dataset"] for row in (first, second, third)] == ["t (a)", "t (b)", "t (b) 2"]
    assert first["srcc"] == -second["srcc"]
    assert len(list((tmp_path / "out" / "scores").glob("*/*"))) == 3
    assert len(list((tmp_path / "out").glob("scatter-*.png"))) == 3


def test_groups_are_those_of_the_table(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for groups in ([0, 0, 0, 1, 1, 1], [2, 2, 2, 2, 3, 3]):
        words = on(write(tmp_path / "t.csv", RISING, group=groups), photos, tmp_path / "out")  # type: ignore[arg-type]
        words = [
            "evaluate",
            "mdiqa-mobile",
            "--weights",
            str(weights),
            "--bootstrap",
            "0",
            "--json",
            "--per-group",
            *words,
        ]
        assert main(words) == 0
        rows = json.loads(capsys.readouterr().out)
        assert {row["group"]: row["n"] for row in rows[1:]} == {str(group): groups.count(group) for group in groups}


# --- which column, which end ---


@pytest.mark.parametrize("column", ["dmos", "D-MOS", "d_mos", "D MOS", "DMOS_zscore", "Difference Mean Opinion Score"])
def test_a_degradation_score_is_turned_round_however_it_is_spelled(
    column: str, photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from iqaloss.training.engine.data import load_manifest
    from iqaloss.training.recipes import finetune_recipe

    table = write(tmp_path / "t.csv", [10.0, 20.0, 90.0], column)
    (spec,) = finetune_recipe(
        "mdiqa-mobile", table, photos, changes=["data.train.0.shares={}", "data.train.0.share="]
    ).data.train
    assert load_manifest(spec).target().tolist() == [1.0, 0.875, 0.0]
    words = ["evaluate", "mdiqa-mobile", "--weights", str(weights), "--data", str(table), "--images", str(photos)]
    assert main([*words, "--bootstrap", "0"]) == 0
    assert f"human scores are the column {column!r}, of which low is good" in capsys.readouterr().err


def test_what_people_said_comes_before_what_a_model_said(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path / "t.csv", RISING[::-1], "score", mos=RISING)
    words = ["--data", str(table), "--images", str(photos)]
    both = measured(capsys, photos, weights, *words)
    assert main(["evaluate", "mdiqa-mobile", "--weights", str(weights), *words, "--bootstrap", "0"]) == 0
    assert "human scores are the column 'mos', of which high is good, not 'score'" in capsys.readouterr().err
    assert both == measured(capsys, photos, weights, "--data", str(write(tmp_path / "u.csv", RISING)), *words[2:])
    named = measured(capsys, photos, weights, *words, "--score-column", "Score")
    assert named["srcc"] == -both["srcc"]
    assert named == measured(capsys, photos, weights, *words, "--lower-is-better")
    assert main(["evaluate", "mdiqa-mobile", *words, "--score-column", "moss"]) == 2
    assert "did you mean 'mos'" in capsys.readouterr().err


def test_finetune_says_which_column_it_learns_from(photos: Path, tmp_path: Path) -> None:
    from iqaloss.training.engine.data import load_manifest
    from iqaloss.training.recipes import finetune_recipe

    table = write(tmp_path / "t.csv", RISING[::-1], "score", mos=RISING)
    for named, column in ((None, "'mos'"), ("score", "'score'")):
        recipe = finetune_recipe("mdiqa-mobile", table, photos, score_column=named)
        assert f"the column {column}, of which high is good" in load_manifest(recipe.data.train[0]).taken


# --- an empty cell ---


def test_an_empty_cell_of_a_dimension_concerns_that_dimension_alone(
    photos: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path / "t.csv", RISING, sharpness=RISING)
    table.write_text(table.read_text().replace("2.png,2.0,2.0", "2.png,2.0,"))
    words = ["--data", str(table), "--images", str(photos)]
    assert measured(capsys, photos, weights, *words)["n"] == COUNT
    command = ["evaluate", "mdiqa-mobile", "--weights", str(weights), *words, "--dimension", "sharpness"]
    assert main(command) == 2
    assert "line 4: 2.png: no sharpness score" in capsys.readouterr().err
    assert measured(capsys, photos, weights, *words, "--dimension", "sharpness", "--skip-bad")["n"] == COUNT - 1
