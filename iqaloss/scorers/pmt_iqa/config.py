"""PMT-IQA's architecture as data, in the form of its paper and in that of its released code."""

from __future__ import annotations

import math
from dataclasses import dataclass

from iqaloss._errors import check_choice, shown

VARIANTS = ("paper", "released")
WINDOWS = ("grid", "single")
RELEASED_SIDE = 224
"""The only side that the released form takes: its pooled maps are flattened into linear layers."""


@dataclass(frozen=True)
class PMTIQAConfig:
    """The whole scorer.

    Attributes:
        variant: ``"paper"``: each scale is reduced by a 1x1 convolution and global average pooling, so that any size
            will do, and two separate MLPs with ReLU read score and level. ``"released"``: 7x7 pooling and a linear
            layer for each scale, a trunk with LeakyReLU that both heads share, 224 x 224 only.
        trunk: timm name of the backbone, a ResNet.
        width: Values that each scale contributes.
        reduced: Channels behind the 1x1 convolutions of the first three scales; released form only.
        score_hidden: Hidden widths of the score head. The paper names none; these are the released code's sizes.
        level_hidden: Hidden widths of the level head.
        shared_hidden: Widths of the trunk that both heads share; released form only.
        levels: Number of quality levels K.
        dropout: Dropout in the paper's heads, in training. The paper uses it and names no rate.
        label_range: The (worst, best) labels that the score head was trained to predict; scores are mapped from it to
            (0, 1). The paper scales labels to (0, 1); the released code trains on each data set's own scale, such as
            (0, 5) for BID, (0, 100) for LIVE Challenge, or (100, 0) for LIVE, whose labels grow with distortion.
        windows: What the released form does with larger images: ``"grid"`` averages over the fewest windows of
            224 x 224 that cover the image, evenly spread (the released test averages over random ones, which gives
            another score at each call); ``"single"`` refuses them.
    """

    variant: str = "paper"
    trunk: str = "resnet50"
    width: int = 28
    reduced: tuple[int, int, int] = (16, 32, 64)
    score_hidden: tuple[int, int, int] = (112, 56, 28)
    level_hidden: tuple[int, int] = (56, 28)
    shared_hidden: tuple[int, int] = (112, 14)
    levels: int = 10
    dropout: float = 0.1
    label_range: tuple[float, float] = (0.0, 1.0)
    windows: str = "grid"

    def __post_init__(self) -> None:
        check_choice("variant", self.variant, VARIANTS)
        check_choice("windows", self.windows, WINDOWS)
        if self.levels < 2:
            raise ValueError(f"levels must be at least 2, got {shown(self.levels)}")
        worst, best = self.label_range
        if worst == best or not math.isfinite(worst) or not math.isfinite(best):
            raise ValueError(
                f"label_range must be two different finite numbers (worst, best), got {shown(self.label_range)}"
            )


PAPER = PMTIQAConfig()
RELEASED = PMTIQAConfig(variant="released")
TINY = PMTIQAConfig(trunk="resnet10t", width=12, score_hidden=(32, 24, 16), level_hidden=(24, 16), levels=5)
