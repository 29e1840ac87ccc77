"""Killed at random moments again and again: nothing lost, nothing twice, the end equal to an uninterrupted run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from testing.tiny_data import write_rated_images

parquet = pytest.importorskip("pyarrow.parquet")
for package in ("typer", "accelerate", "tensorboard", "scipy", "yaml"):
    pytest.importorskip(package)

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("IQALOSS_KILLS", "5"))

Words = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rated_images(tmp_path_factory.mktemp("rated"), 24)


def start(words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "iqaloss.cli", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(words: list[str]) -> float:
    """Runs a command to its end; returns the seconds that it took."""
    begun = time.monotonic()
    process = start(words)
    _, told = process.communicate(timeout=1200)
    assert process.returncode == 0, told
    return time.monotonic() - begun


def chain(words: Words, out: Path, seconds: float, seed: int, number: int = signal.SIGKILL) -> int:
    """Kills a command at random moments, then lets it end; returns how often it was killed in its work."""
    draw, killed = random.Random(seed), 0
    for _ in range(KILLS):
        process = start(words(out))
        try:
            process.communicate(timeout=seconds * draw.uniform(0.3, 1.0))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            _, told = process.communicate(timeout=120)
            killed += 1
            assert "Traceback" not in told, told
    finish(words(out))
    print(f"killed {killed} times")
    return killed


def scores(folder: Path) -> list[tuple[str, float, float]]:
    found = []
    for part in sorted(folder.rglob("part-*.parquet")):
        read = parquet.read_table(part).to_pydict()
        found += list(zip(read["image"], read["score"], read["target"]))
    assert len({row[0] for row in found}) == len(found), "an image stands there twice"
    return found


def assert_tidy(folder: Path) -> None:
    assert not list(folder.rglob(".*.tmp*")), "a killed run left something"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("command", ["score", "evaluate"])
def test_scores_survive_every_kill(command: str, number: int, table: Path, weights: Path, tmp_path: Path) -> None:
    def words(out: Path) -> list[str]:
        named = ["score", str(table)] if command == "score" else ["evaluate", "mdiqa-mobile", "--data", str(table)]
        return [*named, "--weights", str(weights), "--rows", "2", "--batch-size", "1", "--out", str(out)]

    seconds = finish(words(tmp_path / "whole"))
    chain(words, tmp_path / "killed", seconds, seed=number, number=number)
    assert scores(tmp_path / "killed") == scores(tmp_path / "whole")
    assert_tidy(tmp_path / "killed")
    if command == "evaluate":
        results = [(tmp_path / name / "results.csv").read_text() for name in ("whole", "killed")]
        assert results[0] == results[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_fine_tuning_survives_every_kill(number: int, table: Path, weights: Path, tmp_path: Path) -> None:
    def words(out: Path) -> list[str]:
        small = ["--set", "scorer.size=tiny", "--weights", "none", "--epochs", "6", "--batch-size", "4", "--crop", "64"]
        resumed = ["--resume"] if (out / "last.pt").is_file() else []
        return ["finetune", "mdiqa-mobile", "--data", str(table), "--out", str(out), "--quiet", *small, *resumed]

    seconds = finish(words(tmp_path / "whole"))
    chain(words, tmp_path / "killed", seconds, seed=number, number=number)
    for name in ("best.safetensors", "last.safetensors"):
        whole, killed = load_file(tmp_path / "whole" / name), load_file(tmp_path / "killed" / name)
        assert all(whole[key].equal(killed[key]) for key in whole), name
    assert_tidy(tmp_path / "killed")
