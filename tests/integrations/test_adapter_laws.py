"""Every adapter keeps the laws; a new one is one case more."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from iqaloss.integrations.basicsr import register
from iqaloss.integrations.basicsr.losses import GROUP
from iqaloss.integrations.pyiqa import wrap
from iqaloss.losses.registry import LossSpec
from iqaloss.scorers import checkpoints
from testing.adapter_laws import LAWS, Adapter
from testing.cases import tiny

OPTIONS: dict[str, Any] = {"type": "MDIQALoss", "mode": "both", "weights": {"sharpness": 2.0}}


@pytest.fixture(scope="session", autouse=True)
def weights(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file of weights, for frameworks that read a scorer's from their recipe."""
    path = tmp_path_factory.mktemp("adapters") / "tiny.safetensors"
    checkpoints.save(tiny("mdiqa-mobile"), path)
    _from_file.path = path  # type: ignore[attr-defined]


def _from_file() -> dict[str, Any]:
    path: Path = _from_file.path  # type: ignore[attr-defined]
    return {**OPTIONS, "scorer": {"name": "mdiqa-mobile", "weights": str(path)}}


def plain(pred: Tensor, target: Tensor) -> Tensor:
    return LossSpec.read(OPTIONS).build(tiny("mdiqa-mobile"))(pred, target)


def module_of_torch(**options: Any) -> nn.Module:
    return LossSpec.read({**OPTIONS, **options}).build(tiny("mdiqa-mobile"))


def basicsr_losses() -> ModuleType:
    """BasicSR's losses, with ours among them."""
    if importlib.util.find_spec("basicsr") is None:
        pytest.skip("BasicSR is not installed (extra basicsr; not on Python 3.13)")
    register()
    return importlib.import_module("basicsr.losses")


def perceptual_slot_of_basicsr(**options: Any) -> nn.Module:
    build_loss = basicsr_losses().build_loss
    return build_loss({**_from_file(), **options})


def named_losses_of_basicsr(**options: Any) -> nn.Module:
    return basicsr_losses().build_loss({"type": GROUP, "losses": {"mine": {**_from_file(), **options}}})


class Blur(nn.Module):
    """A made-up metric with the surface of pyiqa's: how far two smoothed images are apart."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 5)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        return (self.conv(pred) - self.conv(target)).square().mean((1, 2, 3))


@functools.cache
def made_up_metric() -> Any:
    return SimpleNamespace(
        net=Blur(),
        metric_name="blur",
        metric_mode="FR",
        lower_better=True,
        score_range="0, 2",
        device=torch.device("cpu"),
    )


@functools.cache
def real_metric() -> Any:
    pyiqa = pytest.importorskip("pyiqa", reason="needs pyiqa, which pins other packages: use an environment of its own")
    return pyiqa.create_metric("ssim", device="cpu")


def wrapped(metric: Callable[[], Any]) -> Callable[..., nn.Module]:
    return lambda **options: wrap(metric(), **options)


def first(module: nn.Module, pred: Tensor, target: Tensor) -> Tensor:
    return module(pred, target)[0]


def whole(module: nn.Module, pred: Tensor, target: Tensor) -> Tensor:
    return module(pred, target)


ADAPTERS = (
    Adapter("torch", module_of_torch, whole, plain),
    Adapter("basicsr-slot", perceptual_slot_of_basicsr, first, plain),
    Adapter("basicsr-named", named_losses_of_basicsr, first, plain),
    Adapter("pyiqa-made-up", wrapped(made_up_metric), whole, lambda a, b: made_up_metric().net(a, b).mean() / 2),
    Adapter("pyiqa-ssim", wrapped(real_metric), whole, lambda a, b: 1 - real_metric().net(a, b).mean()),
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("adapter", ADAPTERS, ids=str)
def test_the_adapter_keeps_the_law(adapter: Adapter, law: Callable[[Adapter], None]) -> None:
    law(adapter)
