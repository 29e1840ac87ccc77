"""Quality as classes: levels of human scores."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from iqaloss._errors import check_choice


def quality_levels(target: Tensor, levels: int, *, low: float = 0.0, high: float = 1.0, rule: str = "floor") -> Tensor:
    """Sorts human scores into quality levels ``0 .. levels - 1`` of equal width, worst first.

    Args:
        target: Scores.
        levels: Number of levels.
        low: Score of the worst image.
        high: Score of the best one.
        rule: ``"floor"`` counts whole level widths (the paper of PMT-IQA, and its code for LIVE and BID);
            ``"round"`` rounds to the nearest, half to even (its code for LIVE-C, KonIQ and CSIQ). What would
            fall outside goes to the nearest level.

    Example:
        >>> quality_levels(torch.tensor([0.0, 0.55, 1.0]), 10).tolist()
        [0, 5, 9]
    """
    check_choice("rule", rule, ("floor", "round"))
    if levels < 1 or not high > low:
        raise ValueError(f"need levels >= 1 and high > low, got levels={levels}, low={low}, high={high}")
    # Float64, and a nudge far below any score's precision: 0.3 * 10 must be level 3.
    position = (target.detach().reshape(-1).double() - low) * (levels / (high - low))
    position = torch.round(position) if rule == "round" else torch.floor(position + 1e-6)
    return position.clamp(0, levels - 1).long()


def level_count(low: float, high: float, interval: float) -> int:
    """Returns the number K of quality levels: :math:`\\lfloor |y_{max} - y_{min}| / w \\rfloor` (PMT-IQA, Eq. 3).

    Args:
        low: Lowest score.
        high: Highest score.
        interval: Length w of a level's interval.

    Example:
        >>> level_count(0.0, 1.0, 0.1), level_count(0.0, 100.0, 15.0)
        (10, 6)
    """
    # A nudge far below any score's precision: 1 / 0.1 must be 10 levels whatever the rounding.
    count = math.floor(abs(high - low) / interval + 1e-6) if interval > 0 else 0
    if count < 2:
        raise ValueError(f"interval must be above 0 and leave two levels of {low} to {high}, got {interval}")
    return count


def level_cross_entropy(logits: Tensor, levels: Tensor) -> Tensor:
    """Cross-entropy of quality levels.

    Args:
        logits: ``[B, K]``.
        levels: Level of each image, ``[B]`` (see :func:`quality_levels`), or probabilities ``[B, K]``.

    Example:
        >>> round(level_cross_entropy(torch.zeros(1, 10), torch.tensor([3])).item(), 4)
        2.3026
    """
    if logits.ndim != 2 or levels.shape not in (logits.shape[:1], logits.shape):
        raise ValueError(f"need logits [B, K] and levels [B] or [B, K], got {list(logits.shape)}, {list(levels.shape)}")
    return F.cross_entropy(logits.float(), levels.to(logits.device).detach())
