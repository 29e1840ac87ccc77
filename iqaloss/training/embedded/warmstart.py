"""What the network starts from: ImageNet weights in the backbone, constants in the heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

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


def initialise(scorer: MDIQA) -> None:
    """Starts every head at a plausible constant, local scores at zero, and instance weights at equal shares."""
    heads: Any = scorer.branches["technical"].heads
    for head in heads.values():
        last = head.regress[-1]
        nn.init.normal_(last.weight, std=0.002)
        nn.init.constant_(last.bias, START)
    locals_: Any = scorer.local or {}
    for local in locals_.values():
        nn.init.zeros_(local.regress[-1].weight)
        nn.init.zeros_(local.regress[-1].bias)
    weighting: Any = scorer.weighting
    last_logits = weighting.logits[-1]
    nn.init.normal_(last_logits.weight, std=0.01)
    nn.init.zeros_(last_logits.bias)
