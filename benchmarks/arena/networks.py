"""The restoration networks of the arena: small ones that a CPU trains, and two that want a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss._errors import unknown_name
from iqaloss.integrations.basicsr import register


class Attention(nn.Module):
    """Enhanced spatial attention: a mask from a coarse look at the features (arXiv 2009.11551)."""

    def __init__(self, channels: int, inner: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.conv_f = nn.Conv2d(inner, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=2)
        self.conv3 = nn.Conv2d(inner, inner, 3, padding=1)
        self.conv4 = nn.Conv2d(inner, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Returns the features times their mask."""
        few = self.conv1(features)
        coarse = self.conv3(F.max_pool2d(self.conv2(few), 7, stride=3))
        coarse = F.interpolate(coarse, features.shape[2:], mode="bilinear", align_corners=False)
        return features * torch.sigmoid(self.conv4(coarse + self.conv_f(few)))


class Block(nn.Module):
    """Residual local feature block: three convolutions, a residual, attention."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.c1_r = nn.Conv2d(channels, inner, 3, padding=1)
        self.c2_r = nn.Conv2d(inner, inner, 3, padding=1)
        self.c3_r = nn.Conv2d(inner, channels, 3, padding=1)
        self.c5 = nn.Conv2d(channels, channels, 1)
        self.esa = Attention(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Returns features of the same shape."""
        inside = features
        for convolution in (self.c1_r, self.c2_r, self.c3_r):
            inside = F.leaky_relu(convolution(inside), 0.05)
        return self.esa(self.c5(inside + features))


class RLFN(nn.Module):
    """Residual local feature network (arXiv 2205.07514), with the published file's key names.

    Args:
        scale: How many times larger the output is.
        width: Channels.
        inner: Channels inside a block.
        fold: The input is rearranged into blocks of this many pixels square before and the output after, so that a
            network that keeps the size works at a lower resolution; the input is then added to the output.
        span: What the network inside takes for white; 255 in the published file.
    """

    def __init__(self, scale: int = 4, width: int = 46, inner: int = 48, fold: int = 1, span: float = 1.0) -> None:
        super().__init__()
        self.fold, self.span = fold, span
        self.fea_conv = nn.Conv2d(3 * fold**2, width, 3, padding=1)
        self.B1, self.B2, self.B3, self.B4 = (Block(width, inner) for _ in range(4))
        self.LR_conv = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(width, 3 * (scale * fold) ** 2, 3, padding=1), nn.PixelShuffle(scale * fold)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Restores images ``[B, 3, H, W]`` in [0, 1], whose sides the fold divides."""
        first = self.fea_conv(F.pixel_unshuffle(images * self.span, self.fold))
        features = self.B4(self.B3(self.B2(self.B1(first))))
        restored: Tensor = self.upsampler(self.LR_conv(features) + first) / self.span
        return restored if self.fold == 1 else restored + images


def basicsr(kind: str, **options: Any) -> nn.Module:
    """Returns a network of BasicSR by its name there."""
    register()
    from basicsr.archs import build_network

    network: nn.Module = build_network({"type": kind, **options})
    return network


def msrresnet() -> nn.Module:
    """BasicSR's MSRResNet, as light as the demo's."""
    return basicsr("MSRResNet", num_in_ch=3, num_out_ch=3, num_feat=32, num_block=8, upscale=4)


def rrdbnet() -> nn.Module:
    """BasicSR's RRDBNet as ESRGAN has it: 64 channels, 23 blocks, 16.7 million weights."""
    return basicsr("RRDBNet", num_in_ch=3, num_out_ch=3, num_feat=64, num_block=23, num_grow_ch=32, scale=4)


def swinir() -> nn.Module:
    """BasicSR's SwinIR in its lightweight form: 60 channels, four stages of six layers (arXiv 2108.10257)."""
    return basicsr(
        "SwinIR", upscale=4, img_size=64, window_size=8, depths=[6] * 4, embed_dim=60, num_heads=[6] * 4, mlp_ratio=2,
        upsampler="pixelshuffledirect", resi_connection="1conv",
    )  # fmt: skip


@dataclass(frozen=True)
class Network:
    """A network that contestants train.

    Attributes:
        title: What tables call it.
        scale: How many times larger its output is.
        build: Makes it, with random weights.
    """

    title: str
    scale: int
    build: Callable[[], nn.Module]


NETWORKS: Mapping[str, Network] = {
    "rlfn": Network("RLFN", 4, lambda: RLFN(span=255.0)),
    "rrdbnet": Network("RRDBNet, 64 channels, 23 blocks", 4, rrdbnet),
    "swinir": Network("SwinIR, lightweight", 4, swinir),
    "msrresnet": Network("MSRResNet, 32 channels, 8 blocks", 4, msrresnet),
    "rlfn_same_size": Network("RLFN, 32 channels, folded by 2", 1, lambda: RLFN(1, 32, 32, fold=2)),
}


def load_network(name: str, start: Path | None = None) -> nn.Module:
    """Builds a network, with the weights of a file of tensors where one is given (BasicSR's layout too).

    Raises:
        ValueError: For an unknown name, with the nearest one, or a file that does not fit.
    """
    if name not in NETWORKS:
        raise ValueError(unknown_name("network", name, list(NETWORKS)))
    network = NETWORKS[name].build()
    if start is not None:
        if start.suffix == ".safetensors":
            from safetensors.torch import load_file

            tensors = {key: value.float() for key, value in load_file(start).items()}
        else:
            tensors = torch.load(start, map_location="cpu", weights_only=True)
            tensors = tensors.get("params", tensors)
        try:
            network.load_state_dict(tensors)
        except RuntimeError as error:
            raise ValueError(f"{start} holds no weights of {name}: {str(error).splitlines()[-1].strip()}") from error
    return network
