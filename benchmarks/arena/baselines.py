"""Losses of others that no package here brings: total variation and the frequency distribution loss."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from iqaloss.evaluation.panel.judges import VGG
from iqaloss.evaluation.panel.trunks import stored
from iqaloss.evaluation.patterns import total_variation
from iqaloss.scorers.cards import IMAGENET_MEAN, IMAGENET_STD


def variation_gap(pred: Tensor, target: Tensor) -> Tensor:
    """Returns how far the total variation of a prediction is from its target's, ``[B]``."""
    return (total_variation(pred) - total_variation(target)).abs()


STAGES = (4, 9, 16, 23, 30)
"""Where the five stages of VGG-16's convolutions end, just before each pooling."""


class FourierDistance:
    """Frequency distribution loss (arXiv 2402.18192): sliced distances of the amplitude and phase of features.

    Of each stage's feature map the Fourier transform is taken; its amplitude and its phase are projected on random
    directions over patches of five by five, sorted, and compared (a sliced Wasserstein distance).

    Args:
        folder: Where VGG-16's weights lie, under the panel's name for them.
        projections: Random directions of each stage.
        patch: Side of the patches.
        device: Where it measures.
    """

    def __init__(self, folder: Path | None, projections: int = 24, patch: int = 5, device: str = "cpu") -> None:
        from torchvision.models import vgg16

        tensors = stored(folder, VGG)
        if tensors is None:
            raise ValueError(f"the frequency distribution loss needs VGG-16's weights, {VGG} in the panel's folder")
        network = vgg16(weights=None).features
        network.load_state_dict(tensors)
        for layer in network:
            if isinstance(layer, torch.nn.ReLU):
                layer.inplace = False
        starts = (0, *STAGES[:-1])
        self.stages = [network[start:end].requires_grad_(False).eval().to(device) for start, end in zip(starts, STAGES)]
        generator = torch.Generator().manual_seed(0)
        self.directions = []
        for stage in self.stages:
            channels = [layer for layer in stage if isinstance(layer, torch.nn.Conv2d)][-1].out_channels
            directions = torch.randn(projections, channels, patch, patch, generator=generator)
            directions = directions / directions.flatten(1).norm(dim=1)[:, None, None, None]
            self.directions.append(directions.to(device))
        shift = (torch.tensor(each, device=device).view(1, 3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
        self.mean, self.std = shift

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        """Returns the distance, a scalar."""
        value = pred.new_zeros(())
        first, second = (pred - self.mean) / self.std, (target - self.mean) / self.std
        for stage, directions in zip(self.stages, self.directions):
            first = stage(first)
            with torch.no_grad():
                second = stage(second)
            one, other = torch.fft.fft2(first), torch.fft.fft2(second)
            value = value + _sliced(one.abs(), other.abs(), directions)
            value = value + _sliced(one.angle(), other.angle(), directions)
        return value


def _sliced(first: Tensor, second: Tensor, directions: Tensor) -> Tensor:
    """Sliced Wasserstein distance of two feature maps."""
    ordered = [F.conv2d(features, directions).flatten(2).sort(-1).values for features in (first, second)]
    return (ordered[0] - ordered[1]).abs().mean()
