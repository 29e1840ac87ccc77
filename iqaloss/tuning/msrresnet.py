"""MSRResNet, which the project's own start network is; spandrel, which does not know it, is not needed for it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss._errors import shown

MARKS = ("conv_first.weight", "body.0.conv1.weight", "upconv1.weight", "conv_hr.weight", "conv_last.weight")
"""Tensors by which a checkpoint of this network is known."""


class ResidualBlock(nn.Module):
    """Two convolutions and what went into them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor, scale: Tensor | None = None) -> Tensor:
        """Returns features of the same shape; a scale ``[C, 1, 1]`` adds so many times what is between both."""
        hidden = F.relu(self.conv1(features))
        return features + self.conv2(hidden if scale is None else hidden + hidden * scale)


class MSRResNet(nn.Module):
    """SRResNet without batch norms (Ledig et al., arXiv 1609.04802), with the names that BasicSR's file has.

    Args:
        width: Channels.
        blocks: Residual blocks.
        scale: How many times larger the output is: 2, 3 or 4.

    Example:
        >>> import torch
        >>> MSRResNet(8, 1, 4)(torch.rand(1, 3, 6, 5)).shape
        torch.Size([1, 3, 24, 20])
    """

    def __init__(self, width: int, blocks: int, scale: int) -> None:
        super().__init__()
        if scale not in (2, 3, 4):
            raise ValueError(f"MSRResNet enlarges 2, 3 or 4 times, got {shown(scale)}")
        self.scale = scale
        self.step = 2 if scale == 4 else scale
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.upconv1 = nn.Conv2d(width, width * self.step**2, 3, padding=1)
        if scale == 4:
            self.upconv2 = nn.Conv2d(width, width * self.step**2, 3, padding=1)
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)

    def features(self, images: Tensor) -> Tensor:
        """Returns what the blocks make of images."""
        found: Tensor = self.body(leaky(self.conv_first(images)))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Returns the images enlarged; not clipped."""
        features = self.features(images)
        features = leaky(F.pixel_shuffle(self.upconv1(features), self.step))
        if self.scale == 4:
            features = leaky(F.pixel_shuffle(self.upconv2(features), self.step))
        plain = F.interpolate(images, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return self.conv_last(leaky(self.conv_hr(features))) + plain


def leaky(features: Tensor) -> Tensor:
    """What follows the convolutions outside the blocks."""
    return F.leaky_relu(features, 0.1)


def is_msrresnet(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is one of this network."""
    return all(name in state for name in MARKS)


def build_msrresnet(state: Mapping[str, Tensor]) -> MSRResNet:
    """Builds the network that a state dict fits, without its numbers."""
    width = state["conv_first.weight"].shape[0]
    blocks = len({name.split(".")[1] for name in state if name.startswith("body.")})
    scale = 4 if "upconv2.weight" in state else round((state["upconv1.weight"].shape[0] / width) ** 0.5)
    return MSRResNet(width, blocks, scale)
