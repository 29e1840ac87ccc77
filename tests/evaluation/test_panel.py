"""The panel: published values, a graph where one is asked for, and no judge that is silently absent."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from iqaloss.data.images import load_image
from iqaloss.evaluation.panel import JUDGES, Panel, load_panel, measures
from iqaloss.evaluation.panel.trunks import TRUNKS, trunks_from


@pytest.fixture(scope="module")
def panel(shared: Path) -> Panel:
    """Every judge whose weights are in a folder."""
    for name in ("lpips", "DISTS_pytorch"):
        pytest.importorskip(name, reason=f"{name} is not installed (extra panel)")
    folder = Path(os.environ.get("IQALOSS_PANEL", shared / "data" / "weights"))
    found = load_panel(
        [name for name, judge in JUDGES.items() if all((folder / f).is_file() for f in judge.files)], folder
    )
    assert not found.missing
    if len(found.judges) < 2:
        pytest.skip(f"{folder} has none of the panel's weights; set IQALOSS_PANEL")
    return found


def pair(count: int = 2, side: int = 64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    target = nn.functional.interpolate(torch.rand(count, 3, 9, 9, generator=generator), side, mode="bilinear")
    return (target + 0.05 * torch.randn(target.shape, generator=generator)).clamp(0, 1), target


# --- facts ---


def test_every_judge_has_facts_and_a_measure() -> None:
    assert set(JUDGES) == set(measures.BUILDERS)
    for name, judge in JUDGES.items():
        assert judge.name == name
        assert all((judge.title, judge.family, judge.license, judge.source))
        assert (judge.package is None) == (not judge.files)


# --- values ---


def test_psnr_is_that_of_the_definition() -> None:
    target = torch.full((1, 3, 8, 8), 0.25)
    luma = (65.481 + 128.553 + 24.966) / 255
    assert measures.psnr_y(target + 0.1, target).item() == pytest.approx(-20 * torch.log10(torch.tensor(0.1 * luma)))
    assert measures.psnr_y(target, target).item() == pytest.approx(100.0)
    green = target + torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1) * 0.2
    error = torch.tensor(0.2 * 128.553 / 255)
    assert measures.psnr_y(green, target).item() == pytest.approx((-20 * error.log10()).item(), rel=1e-5)


def test_published_values_are_reproduced(shared: Path) -> None:
    """Pairs of TID2013, and what the authors' own code says of them."""
    pytest.importorskip("lpips", reason="lpips is not installed (extra panel)")
    pytest.importorskip("DISTS_pytorch", reason="DISTS_pytorch is not installed (extra panel)")
    folder = shared / "data" / "metric_reference"
    panel = load_panel(["lpips_alex", "dists"], shared / "data" / "weights")
    expected = {
        "lpips_alex": [0.7237, 0.2572, 0.0508, 0.0521, 0.4253],
        "dists": [0.4742, 0.1424, 0.0682, 0.0287, 0.3123],
    }
    for number, name in enumerate(("I03", "I04", "I06", "I08", "I19")):
        pred, target = (load_image(folder / kind / f"{name}.bmp")[None] for kind in ("dist", "ref"))
        for judge, value in panel.measure(pred, target).items():
            assert value.item() == pytest.approx(expected[judge][number], abs=2e-4)


def test_a_picture_is_no_distance_from_itself_and_some_from_another(panel: Panel) -> None:
    pred, target = pair()
    same, other = panel.measure(target, target), panel.measure(pred, target)
    for judge in panel.judges:
        assert other[judge.name].shape == (2,)
        if not judge.higher_is_better:
            torch.testing.assert_close(same[judge.name], torch.zeros(2), atol=2e-5, rtol=0)
            assert (other[judge.name] > 1e-3).all()


def test_a_distance_has_a_graph_and_a_measure_has_none(panel: Panel) -> None:
    pred, target = pair()
    for judge in panel.judges:
        leaf = pred.clone().requires_grad_()
        value = panel.distance(judge.name, leaf, target)
        assert value.shape == (2,)
        measured = panel.measure(leaf, target)[judge.name]
        assert not measured.requires_grad
        torch.testing.assert_close(value.detach(), -measured if judge.higher_is_better else measured)
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
        assert gradient.isfinite().all()
        assert gradient.abs().sum() > 0


def test_every_judge_takes_its_smallest_side_and_refuses_less(panel: Panel) -> None:
    for judge in panel.judges:
        pred, target = pair(1, judge.min_side)
        assert panel.distance(judge.name, pred, target).isfinite().all()
        if judge.min_side > 1:
            with pytest.raises(ValueError, match=f"sides of at least {judge.min_side} pixels"):
                panel.distance(judge.name, *(images[..., 1:] for images in (pred, target)))


def test_memory_does_not_grow_with_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def measure(pred: Tensor, target: Tensor) -> Tensor:
        seen.append(len(pred))
        return measures.psnr_y(pred, target)

    panel = Panel((JUDGES["psnr_y"],), {}, {"psnr_y": measure})
    monkeypatch.setattr("iqaloss.evaluation.panel.panel.PIXELS", 2 * 16 * 16)
    pred, target = pair(5, 16)
    torch.testing.assert_close(panel.measure(pred, target)["psnr_y"], measures.psnr_y(pred, target))
    assert seen == [2, 2, 1]


# --- who is absent is named ---


def test_missing_weights_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("lpips", reason="lpips is not installed (extra panel)")

    def no_network(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    panel = load_panel(["psnr_y", "lpips_alex"], tmp_path)
    assert [judge.name for judge in panel.judges] == ["psnr_y"]
    reason = panel.missing["lpips_alex"]
    assert f"{tmp_path} lacks alexnet_features.fp16.safetensors" in reason
    assert "no route to host" in reason
    with pytest.raises(ValueError, match="lpips_alex is not on the panel: "):
        panel.distance("lpips_alex", *pair())


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    monkeypatch.setitem(sys.modules, "DISTS_pytorch", None)
    panel = load_panel(["lpips_vgg", "dists"])
    assert not panel.judges
    assert all("pip install 'iqaloss[panel]'" in reason for reason in panel.missing.values())


def test_broken_weights_are_named(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    pytest.importorskip("lpips", reason="lpips is not installed (extra panel)")
    save_file({"other": torch.zeros(1)}, tmp_path / TRUNKS["alexnet"])
    assert TRUNKS["alexnet"] in load_panel(["lpips_alex"], tmp_path).missing["lpips_alex"]


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown judge 'lpips'; did you mean 'lpips_vgg'"):
        load_panel(["lpips"])
    with pytest.raises(FileNotFoundError, match="no such folder of the panel's weights"):
        load_panel(["psnr_y"], tmp_path / "none")
    panel = load_panel(["psnr_y"])
    with pytest.raises(ValueError, match="one shape, got"):
        panel.measure(torch.rand(1, 3, 8, 8), torch.rand(2, 3, 8, 8))
    with pytest.raises(ValueError, match="unknown judge 'lpips_vgg'"):
        panel.distance("lpips_vgg", *pair())


# --- trunks ---


def test_torchvisions_trunks_are_built_without_a_download_and_put_back(tmp_path: Path) -> None:
    from torchvision import models

    before = models.alexnet
    with trunks_from(tmp_path):
        assert models.alexnet is before  # it has no file, so that the download stays
    with trunks_from(tmp_path, random=True):
        assert isinstance(models.alexnet(pretrained=True).features, nn.Sequential)
        assert models.alexnet is not before
    assert models.alexnet is before


def test_trunks_take_the_files_numbers(tmp_path: Path) -> None:
    from safetensors.torch import save_file
    from torchvision import models

    with torch.device("meta"):
        shapes = {name: value.shape for name, value in models.alexnet(weights=None).features.state_dict().items()}
    tensors = {name: torch.randn(shape).half() for name, shape in shapes.items()}
    save_file(tensors, tmp_path / TRUNKS["alexnet"])
    with trunks_from(tmp_path):
        found = models.alexnet(pretrained=True).features.state_dict()
    assert all(torch.equal(found[name], value.float()) for name, value in tensors.items())
