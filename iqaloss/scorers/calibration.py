"""A calibration that any scorer can carry: a rectifier on top of its features corrects its score (SR-IQA, Eq. 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.base import Scorer
from iqaloss.scorers.layers.rectifier import Rectifier, rectify
from iqaloss.scorers.request import Request, ScoreOutput

WORST, BEST = 1.0, 5.0
"""The scale that the rectifier sees scores on, whatever the scorer's own is; the paper's model scores from 1 to 5."""


@dataclass(frozen=True)
class CalibrationConfig:
    """What a calibration reads; it is stored with a checkpoint.

    Attributes:
        features: Names of the scorer's feature maps.
        width: Channels of all of them together.
        score_range: The scorer's (worst, best).
    """

    features: tuple[str, ...]
    width: int
    score_range: tuple[float, float]


class Calibration(nn.Module):
    """Turns a score q into ``a q + b``, with (a, b) from a small MLP; untrained it changes nothing.

    The MLP reads the scorer's feature maps, averaged over the image and normalised, and the score itself; of a scorer
    without feature maps it reads the score alone.

    Args:
        config: What it reads.

    Example:
        >>> from iqaloss.scorers.factory import create_tiny
        >>> scorer = create_tiny("mdiqa-mobile")
        >>> images = torch.rand(2, 3, 64, 64)
        >>> before = scorer(images).score
        >>> scorer.calibration = Calibration(reads_of(scorer)).eval()
        >>> torch.allclose(scorer(images).score, before, atol=1e-6)
        True
    """

    def __init__(self, config: CalibrationConfig) -> None:
        super().__init__()
        self.config = config
        self.rectifier = Rectifier(config.width + 1, "affine")

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the feature maps that it reads."""
        return self.config.features

    def forward(self, output: ScoreOutput) -> Tensor:
        """Returns the calibrated score ``[B]`` for an output that has the score and the features."""
        worst, best = self.config.score_range
        quality = WORST + (output.score - worst) / (best - worst) * (BEST - WORST)
        read = [output.features[name].flatten(2).mean(2) for name in self.features]
        tokens = [F.layer_norm(torch.cat(read, 1), (self.config.width,))] if read else []
        middle = (quality[:, None] - (WORST + BEST) / 2) / 2
        scale, shift = self.rectifier(torch.cat([*tokens, middle.to(quality.dtype)], 1)[:, None])
        rectified = rectify(quality, scale, shift, self.rectifier.link)
        return worst + (rectified - WORST) / (BEST - WORST) * (best - worst)


@torch.no_grad()
def reads_of(scorer: Scorer) -> CalibrationConfig:
    """Returns what a calibration of a scorer reads: all of its feature maps."""
    side = max(64, scorer.card.min_side)
    image = scorer.mean.new_full((1, 3, side, side), 0.5)
    found = scorer(image, Request(features=None)).features
    return CalibrationConfig(tuple(found), sum(maps.shape[1] for maps in found.values()), scorer.card.score_range)
