"""Every example runs as a newcomer would run it, offline, and shows what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

pytest.importorskip("skimage", reason="the examples show photographs that come with scikit-image")

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def run(path: Path) -> str:
    # A proxy that nobody listens at: an example that wants the network fails.
    offline = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=120, env={**os.environ, **offline}
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


def test_sharpness_rises_with_its_weight() -> None:
    energies = [float(value) for value in re.findall(r"energy (\d\.\d+)", run(ROOT / "examples/steer_dimensions.py"))]
    assert energies[1:] == sorted(energies[1:])
    assert energies[-1] > energies[0]


def test_an_encoded_target_gives_the_same_loss() -> None:
    losses = re.findall(r"loss (\d\.\d+)", run(ROOT / "examples" / "encoded_targets.py"))
    assert len(losses) == 2
    assert losses[0] == losses[1]
