"""What the network starts from: ImageNet weights in the backbone, constants in the heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss.scorers.layers.pyramid import pool_to, whole_patches
from iqaloss.scorers.mdiqa.model import MDIQA

START = 0.7
"""Score that every head starts from."""


def trunk_of(scorer: MDIQA) -> nn.Module:
    """Returns the backbone that the heads share."""
    return scorer.branches["technical"].backbone.trunk  # type: ignore[union-attr, return-value]


def load_imagenet(scorer: MDIQA, path: str | Path) -> None:
    """Loads ImageNet weights (timm keys, safetensors) into the backbone; the classifier's are left out.

    Raises:
        ValueError: If a tensor of the backbone is missing in the file.
    """
    from safetensors.torch import load_file

    state = {key: value.float() if value.is_floating_point() else value for key, value in load_file(path).items()}
    missing, _ = trunk_of(scorer).load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing:
        raise ValueError(f"{path} lacks {len(missing)} tensors of the backbone, such as {missing[0]!r}")


def initialize(scorer: MDIQA) -> None:
    """Starts every head at a plausible constant, local scores at zero, and instance weights at equal shares."""
    heads: Any = scorer.branches["technical"].heads
    for head in heads.values():
        last = head.regress[-1]
        nn.init.normal_(last.weight, std=0.01)
        nn.init.constant_(last.bias, START)
    locals_: Any = scorer.local or {}
    for local in locals_.values():
        nn.init.zeros_(local.regress[-1].weight)
        nn.init.zeros_(local.regress[-1].bias)
    weighting: Any = scorer.weighting
    last_logits = weighting.logits[-1]
    nn.init.normal_(last_logits.weight, std=0.01)
    nn.init.zeros_(last_logits.bias)


@torch.no_grad()
def leave_half_to_heads(scorer: MDIQA) -> None:
    """Halves what the statistics block says of the dimensions; the heads are to learn the other half."""
    if scorer.statistics is not None:
        last: Any = scorer.statistics.dimension[-1]
        last.weight.mul_(0.5)
        last.bias.mul_(0.5)


@torch.no_grad()
def scale_pyramid(scorer: MDIQA, inputs: Tensor) -> None:
    """Scales the convolutions between backbone and heads so that each channel has mean 0 and variance 1 on some inputs.

    With the usual start the gated maps hardly differ from image to image beside their constant part, and the heads
    learnt nothing in 400 steps; scaled, their loss halves in 125.

    Args:
        scorer: A scorer whose backbone has its starting weights.
        inputs: ``[B, 3, H, W]``, of all kinds that it will see.
    """
    pyramid: Any = scorer.branches["technical"].backbone  # type: ignore[union-attr]
    levels = pyramid.trunk(scorer.normalize(inputs.to(next(scorer.parameters()).device)))
    for (number, patch), gated, reduce in zip(pyramid.patches, pyramid.gates, pyramid.reduce):
        level = whole_patches(levels[number], patch)
        _scale(gated.split, level)
        x = gated.split(level).chunk(2, dim=1)[1]
        for layer in gated.gate:
            if isinstance(layer, nn.Conv2d):
                _scale(layer, x)
            x = layer(x)
        gated.gate[-2].bias.add_(1.0)  # rather open than closed
        _scale(reduce[0], pool_to(gated(level), tuple(levels[-1].shape[2:])))


def _scale(conv: nn.Conv2d, x: Tensor) -> None:
    nn.init.kaiming_normal_(conv.weight)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    y = conv(x)
    spread = y.std(dim=(0, 2, 3)).clamp_min(1e-4)
    conv.weight.div_(spread[:, None, None, None])
    conv.bias.copy_(-y.mean(dim=(0, 2, 3)) / spread)  # type: ignore[union-attr]
