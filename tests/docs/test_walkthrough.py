"""The new user's transcript: a page is pasted into a shell, block by block, and leaves what it says."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from testing.howto import ROOT
from testing.pages import shell

PAGE = ROOT / "docs" / "walkthrough.md"
NEEDED = ("typer", "accelerate", "skimage", "onnx", "onnxscript", "onnxruntime", "basicsr")
LEFT = (
    "tuned/start_tuned.safetensors",
    "tuned/report.html",
    "experiments/msrresnet_x4_nr/models/net_g_latest.pth",
    "fitted/best.safetensors",
    "scorer.onnx",
    "why.html",
)


def stand_ins(folder: Path) -> Path:
    """Commands that a person has on the path: this checkout's, and a pip that installs nothing."""
    python = f'exec "{sys.executable}"'
    for name, runs in {"python": f'{python} "$@"', "iqaloss": f'{python} -m iqaloss.cli "$@"', "pip": "exit 0"}.items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"#!/bin/sh\n{runs}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.mark.slow
def test_the_walkthrough_works_from_copy_and_paste(tmp_path: Path) -> None:
    if lacking := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        pytest.skip(f"not installed, as the page tells to: {', '.join(lacking)}")
    for name in ("examples", "restoration_recipes"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    pasted = "set -e\n" + "\n".join(shell(PAGE.read_text(encoding="utf-8")))
    environment = {
        **os.environ,
        "PATH": f"{stand_ins(tmp_path / 'bin')}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "STEPS": "2",
        "BROWSER": "true",  # opens nothing
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(["bash", "-c", pasted], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert not [name for name in LEFT if not (tmp_path / "afternoon" / name).is_file()]
    for said in ("sharpness", "gradient of MDIQALoss at weight 0.03", "SRCC", "scores at most"):
        assert said in done.stdout, said
