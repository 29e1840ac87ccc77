"""Whether a photograph scores above its upscales: what a loss for super-resolution must know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from iqaloss.evaluation.probes.distortions import resample
from iqaloss.evaluation.probes.pictures import Report, score_versions, silent
from iqaloss.scorers.base import Scorer

FACTORS = (2, 3, 4)
WHOLE = 12
"""Sides are cut to a multiple of this, which every factor divides."""


@dataclass(frozen=True)
class UpscaleOrder:
    """How a scorer orders photographs and their bicubic upscales.

    Attributes:
        pictures: How many photographs there were.
        original_best: Share of them that score above all of their upscales.
        in_order: Share of which x2 is above x3 and x3 above x4 as well.
        sharpness_original_best: The first by the dimension sharpness; None where the scorer has none.
        sharpness_in_order: The second by it.
        mean_scores: Mean overall scores.
    """

    pictures: int
    original_best: float
    in_order: float
    sharpness_original_best: float | None
    sharpness_in_order: float | None
    mean_scores: dict[str, float]


def upscale_order(scorer: Scorer, pictures: Sequence[Tensor], report: Report = silent) -> UpscaleOrder:
    """Measures in what order photographs and their bicubic upscales from 1/2, 1/3 and 1/4 of the size score.

    Args:
        scorer: Any scorer, in eval mode.
        pictures: Clean photographs, ``[3, H, W]`` each, of any sizes.
        report: Is told how far it is.

    Example:
        >>> import torch
        >>> from iqaloss.scorers.factory import create_tiny
        >>> upscale_order(create_tiny("mdiqa-mobile"), [torch.rand(3, 70, 90)]).pictures
        1
    """
    overall, sharpness = [], []
    for index, picture in enumerate(pictures):
        height, width = (side // WHOLE * WHOLE for side in picture.shape[1:])
        original = picture[:, :height, :width]
        scores, dimensions = score_versions(scorer, [original, *(resample(original, factor) for factor in FACTORS)])
        overall.append(scores.numpy())
        if "sharpness" in scorer.dimension_names:
            sharpness.append(dimensions[:, scorer.dimension_names.index("sharpness")].numpy())
        report("upscales", index + 1, len(pictures))
    best, ordered = _shares(np.array(overall))
    sharpest, falling = _shares(np.array(sharpness)) if sharpness else (None, None)
    names = ("original", *(f"x{factor}" for factor in FACTORS))
    means = dict(zip(names, np.mean(overall, axis=0).tolist()))
    return UpscaleOrder(len(pictures), best, ordered, sharpest, falling, means)


def _shares(table: np.ndarray) -> tuple[float, float]:
    """Returns the share of rows whose first value is the largest, and of those that fall from step to step."""
    best = (table[:, :1] > table[:, 1:]).all(axis=1).mean()
    return float(best), float((np.diff(table, axis=1) < 0).all(axis=1).mean())
