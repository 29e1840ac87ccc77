"""A sweep tunes once for each weight, on the same photographs, and puts what came of each beside the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from iqaloss.cli import main
from iqaloss.data.images import to_image
from iqaloss.tuning.msrresnet import MSRResNet
from iqaloss.tuning.settings import TuneSettings
from iqaloss.tuning.sweep import read_weights, swept, weighed

pytest.importorskip("accelerate", reason="accelerate is not installed (extra train)")
pytest.importorskip("typer", reason="typer is not installed (extra cli)")


def test_the_command_tunes_once_for_each_weight_and_reports_on_all(tmp_path: Path, weights: Path) -> None:
    torch.manual_seed(0)
    save_file(MSRResNet(4, 1, 2).state_dict(), tmp_path / "net.safetensors")
    (tmp_path / "photos").mkdir()
    for number in range(4):
        coarse = torch.rand(1, 3, 6, 6)
        smooth = torch.nn.functional.interpolate(coarse, (48, 48), mode="bicubic")[0].clamp(0, 1)
        to_image(smooth).save(tmp_path / "photos" / f"{number}.png")
    loss = f"MDIQALoss(scorer={{name: mdiqa-mobile, weights: {weights}}})"
    words = ["tune", str(tmp_path / "net.safetensors"), "--images", str(tmp_path / "photos"), "--loss", loss]
    words += ["--sweep", "0.5,0.01", "--steps", "1", "--patch", "32", "--batch-size", "1", "--device", "cpu"]
    out = tmp_path / "swept"
    assert main([*words, "--out", str(out), "--quiet"]) == 0
    told = json.loads((out / "sweep.json").read_text())
    assert [row["version"] for row in told["rows"]] == ["before", "weight 0.01", "weight 0.5", "truth"]
    assert told["settings"]["losses"] == [loss]
    page = (out / "report.html").read_text()
    assert "net.safetensors tuned with MDIQALoss" in page
    assert "weight 0.5" in page
    for name in ("weight_0.01", "weight_0.5"):
        assert (out / name / "net_tuned.safetensors").is_file()
        assert (out / name / "report.html").is_file()
    assert main([*words, "--out", str(out), "--quiet"]) == 2


@pytest.mark.parametrize("text", ["0.1", "0.1,0.1", "0,1", "a,b", "-1,1", "1,inf", ""])
def test_weights_that_make_no_sweep_are_told(text: str) -> None:
    with pytest.raises(ValueError, match="two or more positive weights"):
        read_weights(text)


@pytest.mark.parametrize("expression", ["MDIQALoss(loss_weight=1)", "recipe.yml"])
def test_a_loss_that_has_its_weight_already_is_told(expression: str) -> None:
    with pytest.raises(ValueError, match="a sweep gives the loss its weights"):
        weighed(expression, 0.1)


def test_a_sweep_is_about_one_loss() -> None:
    with pytest.raises(ValueError, match="one loss, got 2"):
        swept(TuneSettings("a.pth", "photos", losses=("MDIQALoss", "IQALoss")), [0.1, 1.0])
