"""How each judge measures: functions from prediction and target ``[B, 3, H, W]`` in [0, 1] to ``[B]``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss._errors import optional
from iqaloss.evaluation.panel.judges import VIT
from iqaloss.evaluation.panel.trunks import stored, trunks_from
from iqaloss.scorers.cards import IMAGENET_MEAN, IMAGENET_STD

Measure = Callable[[Tensor, Tensor], Tensor]

LUMA_601 = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""Share of red, green and blue in the luminance of BT.601 with its narrow range, without the offset."""

LEAST_ERROR = 1e-10
"""Mean squared error below which pictures are the same: 100 dB."""

PATCH = 14
BLOCKS = tuple(range(3, 10))
"""Blocks of the ViT that are compared, counted from 0."""


def psnr_y(pred: Tensor, target: Tensor) -> Tensor:
    """Returns the peak signal-to-noise ratio of the luminance in dB, at most 100.

    Example:
        >>> black = torch.zeros(1, 3, 8, 8)
        >>> round(psnr_y(black + 0.1, black).item(), 3)  # 0.1 in RGB is 0.0859 in this luminance
        21.322
    """
    luma = pred.new_tensor(LUMA_601).view(1, 3, 1, 1)
    error = ((pred - target) * luma).sum(dim=1).square().mean(dim=(1, 2))
    return -10.0 * error.clamp_min(LEAST_ERROR).log10()


def to_patches(images: Tensor, patch: int = PATCH) -> Tensor:
    """Normalizes images for the ViT and pads them by reflection, on all sides, to a multiple of the patch.

    Example:
        >>> to_patches(torch.rand(1, 3, 128, 140)).shape
        torch.Size([1, 3, 140, 140])
    """
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    down, right = (-side % patch for side in images.shape[-2:])
    around = (right // 2, right - right // 2, down // 2, down - down // 2)
    return F.pad((images - mean) / std, around, mode="reflect")


def _frozen(network: nn.Module, device: str) -> Any:
    return network.requires_grad_(False).eval().to(device)


def _lpips(net: str) -> Callable[[Path | None, str], Measure]:
    def build(folder: Path | None, device: str) -> Measure:
        lpips = optional("lpips", "lpips", "panel", "LPIPS")
        with trunks_from(folder):
            network = _frozen(lpips.LPIPS(net=net, verbose=False), device)
        return lambda pred, target: network(pred, target, normalize=True).flatten()

    return build


def dists_network() -> Any:
    """Builds DISTS with its learned shares of structure and texture; the trunk is torchvision's."""
    package = optional("DISTS_pytorch", "DISTS_pytorch", "panel", "DISTS")
    network = package.DISTS(load_weights=False)
    # The package looks for its own file in the interpreter's folder, where no wheel puts it.
    file = Path(package.__file__).with_name("weights.pt")
    network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True), strict=False)
    return network


def _dists(folder: Path | None, device: str) -> Measure:
    with trunks_from(folder):
        network = _frozen(dists_network(), device)
    return lambda pred, target: network(pred, target, require_grad=True).reshape(len(pred))


def _vit(folder: Path | None, device: str) -> Measure:
    import timm

    tensors = stored(folder, VIT)
    options: dict[str, Any] = {"num_classes": 0, "dynamic_img_size": True, "pretrained": tensors is None}
    network = timm.create_model("vit_small_patch14_dinov2", **options)
    if tensors is not None:
        network.load_state_dict(tensors)
    network = _frozen(network, device)

    def tokens(images: Tensor) -> Any:
        return network.forward_intermediates(
            to_patches(images), indices=list(BLOCKS), output_fmt="NLC", intermediates_only=True, stop_early=True
        )

    def measure(pred: Tensor, target: Tensor) -> Tensor:
        pairs = zip(tokens(pred), tokens(target), strict=True)
        return torch.stack([1.0 - F.cosine_similarity(a, b, dim=-1).mean(dim=1) for a, b in pairs]).mean(dim=0)

    return measure


BUILDERS: dict[str, Callable[[Path | None, str], Measure]] = {
    "psnr_y": lambda folder, device: psnr_y,
    "lpips_vgg": _lpips("vgg"),
    "lpips_alex": _lpips("alex"),
    "dists": _dists,
    "vit": _vit,
}
"""Judge to what builds its measure from a folder of weights, on a device."""
