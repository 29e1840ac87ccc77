"""The peers as they ship, and pyiqa's networks through our wrap; with downloads patched out, here alone."""

from __future__ import annotations

import contextlib
import copy
import functools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.loss_cost.ours import as_built, bare
from benchmarks.loss_cost.setting import Built, Contestant, Setting
from iqaloss.integrations.pyiqa import wrap

TRUNKS = {"vgg16": "vgg16_features.fp16.safetensors", "alexnet": "alexnet_features.fp16.safetensors"}
TOPIQ = {"topiq_nr": "nr", "topiq_fr": "fr"}


def _tensors(folder: Path | None, name: str) -> dict[str, Tensor] | None:
    from safetensors.torch import load_file

    if folder is None or not (folder / name).is_file():
        return None
    return {key: value.float() for key, value in load_file(folder / name).items()}


@contextlib.contextmanager
def offline(weights: Path | None) -> Iterator[None]:
    """Lets torchvision's VGG and AlexNet be built without a download, for peers that want ImageNet weights.

    Their convolutions come from ``weights`` where it has them, and are random otherwise.
    """
    from torchvision import models

    def replaced(make: Callable[..., Any], file: str) -> Callable[..., Any]:
        def build(*_: Any, **__: Any) -> Any:
            torch.manual_seed(0)
            network = make(weights=None)
            tensors = _tensors(weights, file)
            if tensors is not None:
                network.features.load_state_dict(tensors)
            return network

        return build

    with contextlib.ExitStack() as stack:
        for name, file in TRUNKS.items():
            stack.callback(setattr, models, name, getattr(models, name))
            setattr(models, name, replaced(getattr(models, name), file))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def _peer(setting: Setting, network: nn.Module, value: Callable[..., Tensor], options: dict[str, Any]) -> Built:
    """Calls a peer's module as its documentation says, with autocast around it where bf16 is asked for."""
    network = network.to(setting.device)
    call = setting.call(network)

    def bind(pred: Tensor, target: Tensor) -> Callable[[], Tensor]:
        def forward() -> Tensor:
            with setting.autocast():
                return value(call(pred, target, **options))

        return forward

    return Built((network,), bind)


def _lpips(net: str) -> Callable[[Setting], Built]:
    def build(setting: Setting) -> Built:
        import lpips

        with offline(setting.weights):
            network = lpips.LPIPS(net=net, verbose=False)
        return _peer(setting, network, Tensor.mean, {"normalize": True})

    return build


def _dists(setting: Setting) -> Built:
    from DISTS_pytorch import DISTS

    with offline(setting.weights):
        network = DISTS(load_weights=False)
    tensors = _tensors(setting.weights, "dists_weights.safetensors")
    if tensors is not None:
        network.load_state_dict(tensors, strict=False)
    return _peer(setting, network, Tensor.mean, {"require_grad": True})


def _torchmetrics(setting: Setting) -> Built:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    with offline(setting.weights):
        metric = LearnedPerceptualImagePatchSimilarity("vgg", normalize=True)

    def value(score: Tensor) -> Tensor:
        metric.reset()  # it keeps every score, and its graph, until it is told to forget them
        return score

    return _peer(setting, metric, value, {})


@functools.cache
def _metric(name: str) -> Any:
    """A metric of pyiqa with random weights, as it comes, for a loss; built once."""
    import pyiqa

    torch.manual_seed(0)
    return pyiqa.create_metric(name, as_loss=True, device="cpu", pretrained=False, backbone_pretrain=False)


@functools.cache
def _wrapped(name: str, setting: Setting) -> Any:
    """The very same network and weights through our wrap; one copy for all modes."""
    metric = copy.deepcopy(_metric(name))
    return wrap(metric, fold=True, precision=setting.precision)


def _shipped(name: str) -> Callable[[Setting], Built]:
    def build(setting: Setting) -> Built:
        metric = copy.deepcopy(_metric(name)).to(setting.device)
        return _peer(setting, metric, lambda score: score, {})

    return build


def _ours(name: str, *, encoded: bool) -> Callable[[Setting], Built]:
    return lambda setting: as_built(_wrapped(name, setting), setting, encoded=encoded)


def _topiq_backbone(setting: Setting) -> Built:
    network = _metric("topiq_nr").net
    return bare(copy.deepcopy(network.semantic_model), network.default_mean, network.default_std, setting)


def contestants() -> Iterator[Contestant]:
    """Yields each peer, and pyiqa's networks both ways."""
    yield Contestant("backbone:topiq", "nr", _topiq_backbone, needs=("pyiqa",), min_side=64)
    for name, mode in TOPIQ.items():
        yield Contestant(f"pyiqa:{name}", "shipped", _shipped(name), needs=("pyiqa",), min_side=64)
        yield Contestant(f"iqaloss:{name}", mode, _ours(name, encoded=False), needs=("pyiqa",), min_side=64)
    yield Contestant("iqaloss:topiq_fr", "fr-encoded", _ours("topiq_fr", encoded=True), needs=("pyiqa",), min_side=64)
    yield Contestant("lpips:vgg", "shipped", _lpips("vgg"), needs=("lpips",), min_side=32)
    yield Contestant("lpips:alex", "shipped", _lpips("alex"), needs=("lpips",), min_side=64)
    yield Contestant("dists", "shipped", _dists, needs=("DISTS_pytorch",), min_side=32)
    yield Contestant(
        "torchmetrics:lpips-vgg", "shipped", _torchmetrics, needs=("torchmetrics",), min_side=32, quick=False
    )
