"""The command ``iqaloss probe``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from iqaloss.evaluation import panel
from iqaloss.evaluation.panel import JUDGES, Panel
from iqaloss.evaluation.probes.gaming import run
from iqaloss.scorers import checkpoints
from iqaloss.scorers.factory import create_tiny

pytest.importorskip("typer", reason="typer is not installed (extra cli)")
from iqaloss.cli import main

TINY = run.Sizes(
    pictures=1, training=1, side=64, ascent_steps=2, fitted=1, fit_steps=1, train_steps=1, tune_steps=1,
    multiples=(1.0,), network=(4, 1),
)  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return checkpoints.save(create_tiny("mdiqa-mobile"), tmp_path_factory.mktemp("scorer") / "tiny.safetensors")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tiny pictures."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("clean")
    for seed in range(2):
        low = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(low).resize((72, 64), Image.Resampling.BICUBIC).save(folder / f"{seed}.png")
    return folder


def test_json_has_the_documented_keys(weights: Path, clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["probe", "mdiqa-mobile", "--clean", str(clean), "--weights", str(weights), "--side", "64"]
    assert main([*words, "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"scorer", "responses", "upscaling", "gradients"}
    responses = found["responses"]
    assert responses["pictures"] == 2
    assert np.array(responses["matrix"]).shape == (5, 5)
    assert set(responses["selectivity"]) == set(responses["tau"]) == set(responses["dimensions"])
    assert set(found["upscaling"]["mean_scores"]) == {"original", "x2", "x3", "x4"}
    assert set(found["gradients"]["stride_peaks"]) == {"2", "4", "8", "16", "32"}


def test_figures_are_printed_and_stored(
    weights: Path, clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["probe", "mdiqa-mobile", "--clean", str(clean), "--weights", str(weights), "--side", "0"]
    assert main([*words, "--images-limit", "1", "--device", "cpu", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "selectivity" in shown
    assert "over-sharpening" in shown
    assert json.loads((tmp_path / "out" / "probe.json").read_text(encoding="utf-8"))["responses"]["pictures"] == 1
    assert (tmp_path / "out" / "responses.png").is_file()


def test_a_loss_is_probed_and_stored(
    weights: Path, clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "QUICK", TINY)
    monkeypatch.setattr(panel, "load_panel", weightless)
    words = ["probe", "MDIQALoss(mode=both)", "--images", str(clean), "--weights", str(weights), "--quick"]
    assert main([*words, "--device", "cpu", "--side", "64", "--weight", "0.5", "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr()
    assert "Gaming ratio:" in shown.out
    assert "not on the panel: lpips_vgg (no weights here)" in shown.err
    found = json.loads((tmp_path / "out" / "gaming.json").read_text(encoding="utf-8"))
    assert found["weight"] == 0.5
    assert found["plain"] == "plain MDIQALoss"
    assert (tmp_path / "out" / "gaming.md").read_text(encoding="utf-8").strip() == shown.out.strip()
    assert (tmp_path / "out" / "gaming.png").is_file()


def weightless(folder: Path | None = None, device: str = "cpu") -> Panel:
    """A panel whose one judge needs no weights."""
    return Panel((JUDGES["vit"],), {"lpips_vgg": "no weights here"}, {"vit": distance})


def distance(pred: Tensor, target: Tensor) -> Tensor:
    return (pred - target).abs().mean(dim=(1, 2, 3))


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["probe", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "iqaloss probe mdiqa-mobile --clean" in shown
    assert "iqaloss probe MDIQALoss --images" in shown


def test_what_is_wrong_is_said(clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["mdiqa-mobil", "--clean", str(clean)], "did you mean 'mdiqa-mobile'"),
        (["mdiqa-mobile", "--clean", str(tmp_path / "none")], "no such folder of clean photographs"),
        (["mdiqa-mobile", "--clean", str(tmp_path)], "holds no picture"),
        (["mdiqa-mobile", "--clean", str(clean)], "sides of at least 256"),
        (["mdiqa-mobile", "--clean", str(clean), "--device", "cdua"], "Usable here: cpu"),
        (["mdiqa-mobile"], "one of the two"),
        (["mdiqa-mobile", "--clean", str(clean), "--images", str(clean)], "one of the two"),
        (["mdiqa-mobile", "--clean", str(clean), "--quick"], "--quick is for a loss"),
        (["MDIQALos", "--images", str(clean)], "did you mean 'MDIQALoss'"),
        (["MDIQALoss(mode=rf)", "--images", str(clean)], "unknown mode 'rf'"),
        (["MDIQALoss", "--images", str(tmp_path / "none")], "no such folder"),
        (["MDIQALoss", "--images", str(tmp_path)], "holds no picture"),
        (["MDIQALoss", "--images", str(clean), "--side", "64", "--panel", str(tmp_path / "none")], "panel's weights"),
    ):
        assert main(["probe", *words]) == 2
        assert said in capsys.readouterr().err
