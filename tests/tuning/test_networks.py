"""A checkpoint in, a checkpoint of the same kind out, which the model's own code and spandrel load."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from iqaloss.tuning.lora import add_lora, merged_state
from iqaloss.tuning.msrresnet import MSRResNet
from iqaloss.tuning.networks import load_network, restore, trainable

needs_basicsr = pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="BasicSR is not installed")
START = Path(__file__).parents[2] / "examples" / "demo" / "start.safetensors"


class Published(nn.Module):
    """The layers of a Compact network under the names that its authors' file has."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(8), nn.Conv2d(8, 12, 3, padding=1)])

    def forward(self, images: Tensor) -> Tensor:
        found = images
        for layer in self.body:
            found = layer(found)
        return nn.functional.pixel_shuffle(found, 2) + nn.functional.interpolate(images, scale_factor=2)


@pytest.fixture
def compact(tmp_path: Path) -> Path:
    pytest.importorskip("spandrel", reason="spandrel is not installed (extra tune)")
    torch.manual_seed(0)
    state = {f"module.{name}": value for name, value in Published().state_dict().items()}
    torch.save({"params_ema": state, "params": state, "iter": 5}, tmp_path / "compact.pth")
    return tmp_path / "compact.pth"


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_projects_own_network_loads_without_spandrel(scale: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = MSRResNet(4, 2, scale)
    save_file(network.state_dict(), tmp_path / "own.safetensors")
    found = load_network(tmp_path / "own.safetensors")
    images = torch.rand(1, 3, 9, 7)
    assert (found.title, found.scale) == ("MSRResNet", scale)
    assert torch.equal(found(images), network(images))


@needs_basicsr
@pytest.mark.slow
def test_the_start_network_is_basicsrs() -> None:
    from iqaloss.integrations.basicsr import register

    register()
    from basicsr.archs.srresnet_arch import MSRResNet as Theirs

    ours = load_network(START)
    theirs = Theirs(num_feat=32, num_block=8)
    theirs.load_state_dict(ours.module.state_dict())
    images = torch.rand(1, 3, 12, 10)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images))


def test_a_tuned_file_has_the_wrappers_names_and_prefix_of_the_given_one(compact: Path, tmp_path: Path) -> None:
    found = load_network(compact)
    assert found.scale == 2
    state = {name: value + 1.0 for name, value in found.module.state_dict().items()}
    assert found.save(state, tmp_path / "tuned.pth")
    held = torch.load(tmp_path / "tuned.pth", weights_only=True)
    assert set(held) == {"params_ema", "params"}
    own = Published()
    own.load_state_dict({name.removeprefix("module."): value for name, value in held["params"].items()})
    images = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(load_network(tmp_path / "tuned.pth")(images), own(images))


@needs_basicsr
@pytest.mark.slow
def test_an_esrgan_of_basicsr_goes_through_spandrel_and_comes_back_with_its_own_names(tmp_path: Path) -> None:
    pytest.importorskip("spandrel", reason="spandrel is not installed (extra tune)")
    from iqaloss.integrations.basicsr import register

    register()
    from basicsr.archs.rrdbnet_arch import RRDBNet

    torch.manual_seed(0)
    own = RRDBNet(3, 3, num_feat=8, num_block=1, num_grow_ch=32)
    torch.save({"params": own.state_dict()}, tmp_path / "esrgan.pth")
    found = load_network(tmp_path / "esrgan.pth")
    assert next(iter(found.module.state_dict())) not in own.state_dict()  # spandrel renames it
    assert found.save({k: v * 1.01 for k, v in found.module.state_dict().items()}, tmp_path / "tuned.pth")
    tuned = torch.load(tmp_path / "tuned.pth", weights_only=True)["params"]
    assert list(tuned) == list(own.state_dict())
    own.load_state_dict(tuned)


def test_adapters_are_merged_into_an_ordinary_file(compact: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft", reason="peft is not installed (extra tune)")
    found = load_network(compact)
    names = set(found.module.state_dict())
    assert len(add_lora(trainable(found.module), 2)) == 2
    learned = {name for name, weight in found.module.named_parameters() if weight.requires_grad}
    assert learned
    assert all(".lora_" in name for name in learned)
    for weight in found.module.parameters():
        if weight.requires_grad:
            nn.init.normal_(weight, std=0.1)
    state = merged_state(found.module)
    assert set(state) == names
    found.save(state, tmp_path / "tuned.pth")
    images = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(load_network(tmp_path / "tuned.pth")(images), found(images), rtol=1e-4, atol=1e-5)


def test_inputs_of_any_size_are_padded_to_what_the_network_takes() -> None:
    class Picky(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            assert not [side for side in images.shape[-2:] if side % 8 or side < 16]
            return images.repeat_interleave(2, -1).repeat_interleave(2, -2)

    images = torch.rand(1, 3, 9, 21)
    found = restore(Picky(), images, 2, multiple=8, least=16)
    assert torch.equal(found, images.repeat_interleave(2, -1).repeat_interleave(2, -2))


def test_batch_norms_keep_their_statistics() -> None:
    network = trainable(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout()))
    before = network[1].running_mean.clone()
    network(torch.rand(2, 3, 4, 4))
    assert torch.equal(network[1].running_mean, before)
    assert network[2].training


def test_what_is_no_network_is_told(tmp_path: Path) -> None:
    pytest.importorskip("spandrel", reason="spandrel is not installed (extra tune)")
    torch.save({"weight": torch.rand(2)}, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match="knows no network"):
        load_network(tmp_path / "odd.pth")
    with pytest.raises(FileNotFoundError):
        load_network(tmp_path / "nowhere.pth")
