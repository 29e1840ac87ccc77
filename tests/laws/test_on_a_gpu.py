"""What only a GPU can show: answers that come late, a gradient scaler at work, memory of the device."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss import MDIQALoss

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

MODES = pytest.mark.parametrize("mode", ["nr", "fr", "both"])


def pictures(side: int = 128, count: int = 2) -> tuple[Tensor, Tensor]:
    """Smooth pictures and blurred ones of them, on the CPU."""
    generator = torch.Generator().manual_seed(side)
    coarse = torch.rand(count, 3, side // 8, side // 8, generator=generator)
    target = F.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return F.avg_pool2d(target, 3, 1, 1), target


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.GELU(), nn.Conv2d(16, 3, 3, padding=1)).cuda()


@MODES
@pytest.mark.parametrize(
    "options", [{}, {"precision": "bf16"}, {"checkpoint": True}], ids=["plain", "bf16", "checkpoint"]
)
def test_value_and_gradient_are_those_of_the_cpu(mode: str, options: dict[str, Any]) -> None:
    pred, target = pictures()
    values, gradients = [], []
    for device, given in (("cpu", {}), ("cuda", options)):
        own = pred.to(device).requires_grad_()
        value = MDIQALoss(mode=mode, **given).to(device)(own, target.to(device))
        (gradient,) = torch.autograd.grad(value, own)
        values.append(value.item())
        gradients.append(gradient.cpu().flatten())
    assert values[1] == pytest.approx(values[0], rel=2e-2 if options.get("precision") else 2e-3)
    assert F.cosine_similarity(*gradients, dim=0) > (0.95 if options.get("precision") else 0.99)


@MODES
def test_a_gradient_scaler_backs_off_and_the_network_learns(mode: str) -> None:
    """From a factor that overflows: it must fall to one that does not, and the steps after it must count."""
    net, loss = network(), MDIQALoss(mode=mode).cuda()
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)
    scaler = torch.amp.GradScaler("cuda", init_scale=2.0**40)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    pred, target = (images.cuda() for images in pictures())
    scales = []
    for _ in range(60):
        optimizer.zero_grad()
        with torch.autocast("cuda", torch.float16):
            restored = net(pred)
            value = F.l1_loss(restored.float(), target) + loss(restored, target)
        assert value.isfinite()
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        scales.append(scaler.get_scale())
    assert scales[0] < 2.0**40
    assert scales[-1] == scales[-10] > 1  # it has found its factor
    assert all(parameter.isfinite().all() for parameter in net.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, net.parameters()))


@MODES
def test_steps_hold_no_memory(mode: str) -> None:
    net, loss = network(), MDIQALoss(mode=mode).cuda()
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)
    pred, target = (images.cuda() for images in pictures())
    held = []
    for step in range(200):
        optimizer.zero_grad()
        loss(net(pred), target).backward()
        optimizer.step()
        if step in (20, 199):
            torch.cuda.synchronize()
            held.append(torch.cuda.memory_allocated())
    assert held[1] <= 1.01 * held[0]


@MODES
def test_a_value_that_is_not_finite_is_told_though_the_device_answers_late(mode: str) -> None:
    loss = MDIQALoss(mode=mode).cuda()
    pred, target = (images.cuda() for images in pictures())
    loss(pred, target)
    pred[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        several_calls(loss, pred, target)


def several_calls(loss: MDIQALoss, pred: Tensor, target: Tensor) -> None:
    """What is wrong of one call is known by the next."""
    for _ in range(3):
        loss(pred, target)
        torch.cuda.synchronize()


def test_a_recipe_of_basicsr_trains_on_the_gpu_and_goes_on(tmp_path: Path) -> None:
    if find_spec("basicsr") is None:
        pytest.skip("needs basicsr")
    from PIL import Image

    from iqaloss.integrations.basicsr import train

    for folder, scale in (("gt", 1), ("lq", 4)):
        (tmp_path / folder).mkdir()
        for index in range(4):
            picture = pictures(96, 4)[1][index].mul(255).byte().permute(1, 2, 0).numpy()
            image = Image.fromarray(picture)
            image.resize((96 // scale, 96 // scale)).save(tmp_path / folder / f"{index}.png")
    recipe = Path(__file__).parents[2] / "restoration_recipes" / "msrresnet_x4_nr.yml"
    roots = {"gt": tmp_path / "gt", "lq": tmp_path / "lq"}
    places = [f"datasets:{each}:dataroot_{kind}={place}" for each in ("train", "val") for kind, place in roots.items()]
    changes = [
        *places,
        "num_gpu=1", "name=gpu", "train:total_iter=4", "path:pretrain_network_g=~",
        "datasets:train:gt_size=64", "datasets:train:batch_size_per_gpu=2", "datasets:train:num_worker_per_gpu=0",
        "network_g:num_feat=8", "network_g:num_block=1", "logger:save_checkpoint_freq=2", "logger:print_freq=1",
    ]  # fmt: skip
    whole = train(recipe, root=tmp_path, overrides=changes, progress=False)
    longer = [*changes, "train:total_iter=6"]
    again = train(recipe, root=tmp_path, overrides=longer, auto_resume=True, progress=False)
    assert again == whole
    assert (again / "training_states" / "6.state").is_file()
    saved = torch.load(again / "models" / "net_g_latest.pth", weights_only=True)
    assert all(value.isfinite().all() for value in next(iter(saved.values())).values())
