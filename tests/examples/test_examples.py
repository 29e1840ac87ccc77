"""Every example runs as a newcomer would run it, offline, and shows what it says."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("skimage", reason="the examples show photographs that come with scikit-image")

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@functools.cache
def run(path: Path) -> str:
    """What an example prints; it is run once, however many tests read it."""
    # A proxy that nobody listens at: an example that wants the network fails.
    offline = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=600, env={**os.environ, **offline}
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_offline(path: Path) -> None:
    assert run(path).strip()


def test_the_training_loop_fits_on_a_screen_and_learns() -> None:
    path = ROOT / "examples" / "training_loop.py"
    body = path.read_text().split("def main")[1].split("if __name__")[0]
    assert len(body.splitlines()) < 40
    losses = [float(value) for value in re.findall(r"loss (\d\.\d+)", run(path))]
    assert losses[-1] < losses[0]


def test_each_dimension_comes_out_best_where_it_weighs_most() -> None:
    lines = run(ROOT / "examples" / "steer_dimensions.py").splitlines()[1:]
    given, less_noise, balanced, sharper = ([float(cell) for cell in line.split()[-3:]] for line in lines)
    assert less_noise[0] > balanced[0] > sharper[0]
    assert sharper[1] > balanced[1] > less_noise[1]
    assert sharper[2] > less_noise[2] > given[2]


def test_an_encoded_target_gives_the_same_loss() -> None:
    losses = re.findall(r"loss (\d\.\d+)", run(ROOT / "examples" / "encoded_targets.py"))
    assert len(losses) == 2
    assert losses[0] == losses[1]


def test_the_loop_of_ranking_finds_the_order_and_the_scorer_learns_it() -> None:
    shown = run(ROOT / "examples" / "rank_methods.py")
    ranking = shown.split("rank fit")[1].split("rank evaluate")[0]
    assert re.findall(r"^│ (\w+)", ranking, re.MULTILINE)[0] == "lanczos"
    before, after = (float(value) for value in re.findall(r"│ mdiqa-mobile .*│ +(\d\.\d+) +│", shown))
    assert after > before


def test_the_readmes_ten_lines_run() -> None:
    """The first block of Python on the front page, which a newcomer pastes."""
    code = (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    exec(compile(code, "README.md", "exec"), {})
