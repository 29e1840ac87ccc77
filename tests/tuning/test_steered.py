"""A network with sliders begins as the one that it is made of, learns to follow them, and says what they move."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from iqaloss.cli import main
from iqaloss.data.images import to_image
from iqaloss.tuning.conditional import ConditionalMSRResNet, conditional
from iqaloss.tuning.msrresnet import MSRResNet
from iqaloss.tuning.networks import load_network
from iqaloss.tuning.settings import TuneSettings
from iqaloss.tuning.steered import Slider, SteeredTuner, move

pytest.importorskip("accelerate", reason="accelerate is not installed (extra train)")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> TuneSettings:
    root = tmp_path_factory.mktemp("steered")
    torch.manual_seed(0)
    save_file(MSRResNet(4, 2, 2).state_dict(), root / "net.safetensors")
    (root / "photos").mkdir()
    for number in range(4):
        coarse = torch.rand(1, 3, 6, 6)
        smooth = torch.nn.functional.interpolate(coarse, (48, 48), mode="bicubic")[0].clamp(0, 1)
        to_image(smooth).save(root / "photos" / f"{number}.png")
    return TuneSettings(
        str(root / "net.safetensors"),
        str(root / "photos"),
        losses=(f"MDIQALoss(loss_weight=1, scorer={{name: mdiqa-mobile, weights: {weights}}})",),
        condition=("sharpness=1:4", "noisiness=0:2"),
        steps=3,
        batch_size=1,
        patch=32,
        lr=1e-2,
        ema=None,
    )


def test_sliders_change_nothing_before_they_have_learned() -> None:
    torch.manual_seed(0)
    plain = MSRResNet(4, 2, 2)
    network, images = conditional(plain, 2), torch.rand(1, 3, 8, 8)
    move(network, [3.0, 0.5])
    assert torch.equal(network(images), plain(images))
    torch.nn.init.ones_(network.condition[0][2].bias)
    assert not torch.equal(network(images), plain(images))


def test_a_network_learns_its_sliders_and_is_read_back_with_them(settings: TuneSettings, tmp_path: Path) -> None:
    tuner = SteeredTuner(settings, tmp_path, cpu=True)
    drawn: list[Any] = []
    path = tuner.fit(bar=False, say=lambda step, terms: drawn.append(tuner.network.module.ratio.tolist()))
    assert all(1 <= sharpness <= 4 and 0 <= noisiness <= 2 for sharpness, noisiness in drawn)
    assert len({tuple(each) for each in drawn}) == 3
    (loss,) = tuner.objective.losses.values()
    assert [loss.weights[name] for name in ("sharpness", "noisiness")] == pytest.approx(drawn[-1])
    network = load_network(path)
    assert isinstance(network.module, ConditionalMSRResNet)
    images, results = torch.rand(1, 3, 8, 8), []
    for position in ([1.0, 0.0], [4.0, 0.0], [1.0, 2.0]):
        move(network.module, position)
        results.append(network(images))
    assert not torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    with pytest.raises(ValueError, match="has not 1 sliders"):
        move(network.module, [1.0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lora": 4}, "leave --lora out"),
        ({"condition": ("sharpnes=1:4",)}, "sharpness"),
        ({"losses": ("IQALoss",)}, "take MDIQALoss"),
    ],
)
def test_what_no_slider_can_follow_is_told(
    settings: TuneSettings, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        SteeredTuner(dataclasses.replace(settings, **change), tmp_path, cpu=True).fit(bar=False)


@pytest.mark.parametrize("text", ["sharpness", "sharpness=1", "sharpness=4:1", "sharpness=-1:1", "a b=1:2"])
def test_what_is_no_slider_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="--condition takes DIMENSION=LOW:HIGH"):
        Slider.read(text)


def test_the_command_reports_what_each_slider_moves(settings: TuneSettings, tmp_path: Path) -> None:
    pytest.importorskip("typer", reason="typer is not installed (extra cli)")
    words = ["tune", settings.model, "--images", settings.images, "--loss", settings.losses[0], "--steps", "1"]
    words += ["--patch", "32", "--batch-size", "1", "--device", "cpu", "--condition", "sharpness=1:4", "--quiet"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    told = json.loads((tmp_path / "steering.json").read_text())
    assert told["sliders"] == {"sharpness": [1.0, 4.0]}
    assert [row["slider"] for row in told["rows"]] == [f"sharpness {at:g}" for at in (1, 1.75, 2.5, 3.25, 4)]
    assert "under its sliders" in (tmp_path / "steering.html").read_text()
    assert main([*words, "--out", str(tmp_path / "other"), "--sweep", "0.1,0.2"]) == 2
