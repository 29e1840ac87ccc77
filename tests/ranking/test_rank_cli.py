"""``iqaloss rank``: what it prints, writes and says of mistakes."""

from __future__ import annotations

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iqaloss.cli import main
from iqaloss.scorers import checkpoints
from iqaloss.scorers.factory import create_tiny
from iqaloss.training.engine.data import read_ranking

pytestmark = pytest.mark.skipif(importlib.util.find_spec("typer") is None, reason="typer is not installed (extra cli)")


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    rows = [f"A,B,{k}.png,s{k % 3},{'g' if k % 2 else 'h'}" for k in range(6)]
    rows += ["B,A,0.png,s9,h", "B,C,1.png,s1,g", "C,B,2.png,s1,h", "A,C,3.png,s2,g", "C,A,3.png,s3,g"]
    path = tmp_path / "votes.csv"
    path.write_text("\n".join(["winner,loser,image,subject,group", *rows]))
    return path


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / "outputs" / name for name in "ABC"]
    generator = np.random.default_rng(0)
    for folder in made:
        folder.mkdir(parents=True)
        for k in range(6):
            Image.fromarray(generator.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    return made


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.manual_seed(0)
    return str(checkpoints.save(create_tiny("mdiqa-mobile"), tmp_path / "tiny.safetensors"))


@pytest.mark.parametrize(
    ("command", "taught"),
    [
        ([], "iqaloss rank fit votes.csv"),
        (["select"], "MAD"),
        (["serve"], "no names are asked"),
        (["export"], "catch_passed"),
        (["fit"], "winner,loser"),
        (["evaluate"], "chance"),
        (["calibrate"], "Eq. 3 to 6"),
    ],
)
def test_help_teaches_with_an_example(command: list[str], taught: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", *command, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert taught in shown
    assert "iqaloss rank" in shown.split("Options")[0].partition("Usage")[2][20:]


def test_fit_prints_exactly_the_ranking_and_the_baselines(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rank", "fit", str(shared / "data" / "realsr1k_votes.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"methods", "oracle_2afc", "prior_2afc"}
    assert len(found["methods"]) == 12
    assert all(set(one) == {"score", "se"} for one in found["methods"].values())
    assert round(found["methods"]["SeeSR"]["score"], 4) == 0.7439
    assert 0.015 < found["methods"]["SeeSR"]["se"] < 0.025
    assert (round(found["oracle_2afc"], 5), round(found["prior_2afc"], 4)) == (0.77668, 0.6958)


def test_fit_shows_both_models_and_writes_what_calibration_reads(
    votes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["rank", "fit", str(votes), "--bootstrap", "20", "--out", str(tmp_path / "ranking.csv")]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("bradley-terry", "over votes", "over images", "over subjects", "oracle"))
    ranking = read_ranking(tmp_path / "ranking.csv")
    assert next(iter(ranking)) == "A"
    assert sum(ranking.values()) == pytest.approx(0, abs=1e-9)


def test_fit_says_why_there_is_a_prior(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "votes.csv").write_text("winner,loser\nA,B\nA,B\n")
    assert main(["rank", "fit", str(tmp_path / "votes.csv"), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["methods"]["A"]["score"] > 0
    assert "every vote against the others was won by A" in shown.err
    assert "standard deviation 2" in shown.err


def test_evaluate_measures_tables_scorers_and_losses(
    votes: Path, folders: list[Path], weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores.csv"
    lines = [f"{folder.name}/{k}.png,{-number}" for number, folder in enumerate(folders) for k in range(6)]
    scores.write_text("\n".join(["image,score", *lines]))
    words = ["rank", "evaluate", str(votes), "--scores", str(scores), "--scorer", "mdiqa-mobile", "--weights", weights]
    words += ["--images", str(folders[0].parent), "--json", "--bootstrap", "20"]
    assert main(words) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows[::3]] == ["scores.csv", "mdiqa-mobile", "oracle", "method prior", "chance"]
    assert [row["group"] for row in rows[:3]] == ["(all)", "g", "h"]
    by_name = {row["name"]: row["two_afc"] for row in rows if row["group"] == "(all)"}
    assert by_name["scores.csv"] <= by_name["oracle"]
    assert by_name["chance"] == 0.5
    assert set(rows[0]["intervals"]) == {"images", "subjects"}
    assert main([*words, "--references", str(folders[2])]) == 0
    against = json.loads(capsys.readouterr().out)
    assert against[3]["name"] == "mdiqa-mobile"
    # C is its own original here: it wins every pair by the FR loss.
    assert against[3]["tied"] == 0
    assert main([*(word for word in words if word != "--json")]) == 0
    assert "method prior" in capsys.readouterr().out


def test_select_writes_the_pairs_and_measures_once(
    folders: list[Path], weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pairs.csv"
    words = ["rank", "select", *map(str, folders), "--weights", weights, "--out", str(out), "--count"]
    assert main([*words, "2"]) == 0
    assert "6 pairs of 3 methods on 6 pictures" in capsys.readouterr().out
    stamp = (tmp_path / "pairs.cache" / "part-000000.npz").stat().st_mtime_ns
    first = list(csv.DictReader(out.open()))
    assert main([*words, "3"]) == 0
    rows = list(csv.DictReader(out.open()))
    assert (tmp_path / "pairs.cache" / "part-000000.npz").stat().st_mtime_ns == stamp
    assert [row for row in rows if int(row["order"]) < 3] == first
    assert list(rows[0]) == ["image", "first", "second", "order", "distance", "semantic"]


def test_a_judge_may_tell_outputs_apart_in_the_scorers_place(
    folders: list[Path], weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pairs.csv"
    words = ["rank", "select", *map(str, folders), "--weights", weights, "--out", str(out), "--count", "1"]
    assert main([*words, "--distance", "psnr_y"]) == 0
    assert all(float(row["distance"]) < 0 for row in csv.DictReader(out.open()))  # decibels, turned round
    capsys.readouterr()
    assert main([*words, "--distance", "distz"]) == 2
    assert "did you mean 'dists'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fit", "nowhere.csv"], "no such table"),
        (["fit", "VOTES", "--model", "thurston"], "did you mean 'thurstone'"),
        (["evaluate", "VOTES", "--scorer", "mdiqa-mobile"], "--scorer needs --images"),
        (["evaluate", "VOTES", "--scores", "VOTES"], "unknown column 'score'"),
        (["select", "ROOT"], "at least two methods"),
        (["select", "ROOT", "ROOT"], "names of their own"),
    ],
)
def test_a_mistake_is_told(words: list[str], told: str, votes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = {"VOTES": str(votes), "ROOT": str(votes.parent)}
    assert main(["rank", *(places.get(word, word) for word in words)]) == 2
    shown = capsys.readouterr().err
    assert told in shown
    assert "Traceback" not in shown
