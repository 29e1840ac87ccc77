"""Every adapter keeps the laws; a new one is one case more."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from iqaloss.integrations import neosr, trainner
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


class Registry(dict[str, Callable[..., nn.Module]]):
    """What traiNNer's and neosr's registries do of what we ask: they take a builder by its name, once."""

    def __init__(self, *, lower: bool) -> None:
        super().__init__()
        self.lower = lower

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower() if self.lower else name)

    def register(self, build: Callable[..., nn.Module]) -> None:
        assert build.__name__ not in self
        self[build.__name__.lower() if self.lower else build.__name__] = build

    def get(self, name: str, default: Any = None) -> Any:
        return self[name.lower() if self.lower else name]


def registry_of(framework: str) -> Any:
    """A framework's own registry where IQALOSS_TRAINNER or IQALOSS_NEOSR names its tree, and a stand-in elsewhere."""
    tree = os.environ.get(f"IQALOSS_{framework.upper()}")
    if tree is None:
        return Registry(lower=framework == "traiNNer")
    path = Path(tree) / framework / "utils" / "registry.py"  # without the packages around it, which need many others
    spec = importlib.util.spec_from_file_location(f"{framework}_registry", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LOSS_REGISTRY


@functools.cache
def registered(framework: str) -> Any:
    adapter = {"traiNNer": trainner, "neosr": neosr}[framework]
    registry = registry_of(framework)
    adapter.register(registry)
    adapter.register(registry)  # again, as a script that is run twice does
    return registry


def loss_of_trainner(**options: Any) -> nn.Module:
    given = {**_from_file(), **options}
    return registered("traiNNer").get(given.pop("type"))(**given)


def value_in_trainner(module: nn.Module, pred: Tensor, target: Tensor) -> Tensor:
    """What its sr_model adds to the generator's loss."""
    total = torch.zeros(())
    loss = module(pred, target)
    weight = abs(module.loss_weight)  # type: ignore[arg-type]
    if not isinstance(loss, dict):
        return total + loss * weight
    for value in loss.values():
        if value > 0:
            total = total + value * weight
    return total


def loss_of_neosr(**options: Any) -> nn.Module:
    given = {**_from_file(), **options}
    return registered("neosr").get(given.pop("type"))(**given)


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
    Adapter("trainner", loss_of_trainner, value_in_trainner, plain),
    Adapter("neosr", loss_of_neosr, whole, plain),
    Adapter("pyiqa-made-up", wrapped(made_up_metric), whole, lambda a, b: made_up_metric().net(a, b).mean() / 2),
    Adapter("pyiqa-ssim", wrapped(real_metric), whole, lambda a, b: 1 - real_metric().net(a, b).mean()),
)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("adapter", ADAPTERS, ids=str)
def test_the_adapter_keeps_the_law(adapter: Adapter, law: Callable[[Adapter], None]) -> None:
    law(adapter)
