"""The peers as they ship, and pyiqa's networks through our wrap; without a download."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.loss_cost.ours import as_built, bare
from benchmarks.loss_cost.setting import Built, Contestant, Setting
from iqaloss.evaluation.panel.measures import dists_network
from iqaloss.evaluation.panel.trunks import trunks_from
from iqaloss.integrations.pyiqa import wrap

TOPIQ = {"topiq_nr": "nr", "topiq_fr": "fr"}


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

        with trunks_from(setting.weights, random=True):
            network = lpips.LPIPS(net=net, verbose=False)
        return _peer(setting, network, Tensor.mean, {"normalize": True})

    return build


def _dists(setting: Setting) -> Built:
    with trunks_from(setting.weights, random=True):
        network = dists_network()
    return _peer(setting, network, Tensor.mean, {"require_grad": True})


def _torchmetrics(setting: Setting) -> Built:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    with trunks_from(setting.weights, random=True):
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
