"""The equations that turn what a scorer says into a loss; pure functions, float32 results."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "none": lambda values: values,
}
"""What becomes of a batch's losses ``[B]``."""


SCORE_MAPS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": lambda loss: torch.sigmoid(4 * (loss - 0.5))}
"""What bounds a no-reference loss: ``"sigmoid"``, as RankSRGAN does (arXiv 1908.06382), centred on the middle of the
scores with a slope of 1 there, so that a loss weight means the same; towards both ends its gradient fades."""


def nr_loss(score: Tensor, best: float = 1.0, worst: float = 0.0, score_map: str | None = None) -> Tensor:
    """No-reference loss: how far a score is from the best one, ``(best - s) / (best - worst)``.

    It is ``1 - s`` for scores trained to [0, 1], falls as quality rises, and is not clipped: a scorer may
    exceed its range, and a clipped loss would have no gradient there.

    Args:
        score: Scores of any shape, higher is better.
        best: The score of the best images that the scorer was trained on.
        worst: The score of the worst ones.
        score_map: What bounds the loss: None, or a key of :data:`SCORE_MAPS`.

    Returns:
        Losses of the same shape, float32.

    Example:
        >>> nr_loss(torch.tensor([0.25, 1.0]))
        tensor([0.7500, 0.0000])
    """
    loss = (best - score.float()) / (best - worst)
    return loss if score_map is None else SCORE_MAPS[score_map](loss)


def normalized_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Divides weights by their sum, so that they average: ``w_i / sum_j w_j``.

    Example:
        >>> normalized_weights({"sharpness": 1.0, "contrast": 3.0})
        {'sharpness': 0.25, 'contrast': 0.75}
    """
    whole = sum(weights.values())
    return {name: weight / whole for name, weight in weights.items()}
