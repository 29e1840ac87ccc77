"""What the command line says and does."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from iqaloss import list_scorers
from iqaloss.cli import main

needs_typer = pytest.mark.skipif(importlib.util.find_spec("typer") is None, reason="typer is not installed (extra cli)")
needs_basicsr = pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="BasicSR is not installed")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


@needs_typer
@pytest.mark.parametrize(
    ("words", "taught"),
    [
        (["--help"], "iqaloss restore train -opt"),
        (["score", "--help"], "higher is better"),
        (["restore", "train", "--help"], "torchrun --nproc_per_node=4"),
        (["restore", "--help"], "train"),
    ],
)
def test_help_teaches(words: list[str], taught: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert taught in " ".join(capsys.readouterr().out.split())


@needs_typer
def test_scorers_lists_every_scorer(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["scorers"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in list_scorers())
    assert "inside the package" in shown


@needs_typer
def test_scorers_tells_where_one_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scorers", "mdiqa"]) == 0
    shown = capsys.readouterr().out
    assert "technical (needed)" in shown
    assert "non-commercial" in shown


@needs_typer
def test_score_agrees_with_the_scorer(picture: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from iqaloss import create_scorer

    assert main(["score", str(picture), "--weights", str(weights), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    pixels = torch.from_numpy(np.asarray(Image.open(picture)).copy()).permute(2, 0, 1)[None] / 255
    want = create_scorer("mdiqa-mobile", weights)(pixels)
    assert row["score"] == pytest.approx(want.score.item(), abs=1e-3)
    assert row["sharpness"] == pytest.approx(want.dimensions["sharpness"].item(), abs=1e-3)


@needs_typer
def test_score_takes_a_folder_and_shows_a_table(
    picture: Path, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    (picture.parent / "notes.txt").write_text("not an image")
    assert main(["score", str(picture.parent), "--weights", str(weights)]) == 0
    shown = capsys.readouterr().out
    assert "picture.png" in shown
    assert "noisiness" in shown
    assert "notes.txt" not in shown


@needs_typer
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["score", "nowhere.png"], "no image or folder at nowhere.png"),
        (["score", __file__], "is no image"),
        (["score", __file__, "--scorer", "mdiqa-mobil"], "did you mean 'mdiqa-mobile'"),
        (["score"], "Missing argument"),
        (["scor"], "No such command"),
        (["scorers", "mdiqua"], "did you mean 'mdiqa'"),
        (["score", __file__, "--weights", "nowhere.pth"], "nowhere.pth"),
        (["train", "pmt_iqa_bid", "--cpu"], "--cpu is called --device cpu now"),
        (["train", "pmt_iqa_bid", "--device", "cuda:1"], "CUDA_VISIBLE_DEVICES"),
        pytest.param(["restore", "train", "-opt", "nowhere.yml"], "no recipe at nowhere.yml", marks=needs_basicsr),
    ],
)
def test_a_mistake_is_told_without_a_traceback(
    words: list[str], message: str, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[-1] == __file__:
        words = [*words, "--weights", str(weights)]
    assert main(words) == 2
    assert message in capsys.readouterr().err


@needs_typer
@needs_basicsr
def test_restore_train_changes_and_checks_the_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = Path(__file__).parents[2] / "restoration_recipes" / "msrresnet_x4_nr.yml"
    assert main(["restore", "train", "-opt", str(recipe), "--set", "train:total_iter=~", "--set", "num_gpu=0"]) == 2
    told = capsys.readouterr().err
    assert "train.total_iter is missing" in told
    assert "datasets.train.dataroot_gt" in told


def test_without_typer_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None\nfrom iqaloss.cli import main; sys.exit(main(['scorers']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'iqaloss[cli]'" in done.stderr
    assert "Traceback" not in done.stderr
