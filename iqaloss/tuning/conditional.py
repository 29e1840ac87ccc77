"""A light network that follows sliders: weights of dimensions are an input of it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from iqaloss.tuning.msrresnet import MSRResNet, leaky

HIDDEN = 32
MARK = "condition.0.0.weight"
"""The tensor by which a checkpoint of this network is known."""


class ConditionalMSRResNet(MSRResNet):
    """MSRResNet whose blocks are scaled, channel by channel, by a small network of the sliders' positions.

    As MDIQA's conditional generator does (arXiv 2508.16887, restoration code): behind the first convolution of each
    block ``h <- h + h fc(r)``, with ``fc`` of two layers. The last one begins at zero, so that the network begins as
    the one that it is made of.

    Args:
        width: Channels.
        blocks: Residual blocks.
        scale: How many times larger the output is.
        sliders: Number of sliders.

    Attributes:
        ratio: Where the sliders stand, ``[sliders]``; one position for the whole batch.

    Example:
        >>> network = ConditionalMSRResNet(8, 1, 4, sliders=2)
        >>> network.ratio = torch.tensor([4.0, 1.0])
        >>> network(torch.rand(1, 3, 6, 5)).shape
        torch.Size([1, 3, 24, 20])
    """

    ratio: Tensor

    def __init__(self, width: int, blocks: int, scale: int, sliders: int) -> None:
        super().__init__(width, blocks, scale)
        self.condition = nn.ModuleList(_silent(sliders, width) for _ in range(blocks))
        self.register_buffer("ratio", torch.ones(sliders), persistent=False)

    def features(self, images: Tensor) -> Tensor:
        """Returns what the blocks make of images, at the sliders' positions."""
        found = leaky(self.conv_first(images))
        for block, layers in zip(self.body, self.condition):
            found = block(found, layers(self.ratio)[:, None, None])
        return found


def _silent(sliders: int, width: int) -> nn.Sequential:
    """Returns two layers from sliders to channels that say zero until they have learned."""
    last = nn.Linear(HIDDEN, width)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(sliders, HIDDEN), nn.ReLU(), last)


def is_conditional(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict is one of this network."""
    return MARK in state


def conditional(network: MSRResNet, sliders: int) -> ConditionalMSRResNet:
    """Returns a network with sliders that does at first what the given one does."""
    width = network.conv_first.weight.shape[0]
    found = ConditionalMSRResNet(width, len(network.body), network.scale, sliders)
    found.load_state_dict(network.state_dict(), strict=False)
    return found
