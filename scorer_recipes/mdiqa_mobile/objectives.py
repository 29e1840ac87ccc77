"""What the scorer is trained for: agreement with people, and dimensions that move alone."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from iqaloss.training import objectives

OVERALL_MARGIN = 0.1
"""Share of a dimension's fall that the overall score shall follow; a fit that asked for .4 lost .024 of SRCC."""


def ranking_loss(prediction: Tensor, target: Tensor, least: float = 0.05) -> Tensor:
    """Hinge over all pairs of a batch whose targets differ by at least ``least``; the margin is half the difference."""
    wanted = target[:, None] - target[None]
    found = prediction[:, None] - prediction[None]
    pairs = wanted > least
    return F.relu(0.5 * wanted - found)[pairs].mean() if bool(pairs.any()) else prediction.sum() * 0.0


def score_loss(overall: Tensor, scores: Tensor) -> dict[str, Tensor]:
    """Returns the terms that tie the overall score ``[B]`` to human scores ``[B]``: PLCC, squared error, ranking."""
    return {
        "plcc": objectives.plcc(overall, scores),
        "mse": 5.0 * F.mse_loss(overall, scores),
        "rank": ranking_loss(overall, scores),
    }


def human_loss(overall: Tensor, dimensions: Tensor, scores: Tensor) -> dict[str, Tensor]:
    """Returns the terms that tie the overall score ``[B]``, and weakly the dimensions ``[B, D]``, to human scores."""
    return score_loss(overall, scores) | {"consistency": 0.5 * F.mse_loss(dimensions.mean(dim=1), scores)}


def degradation_loss(
    overall: Tensor, dimensions: Tensor, targets: Tensor, known: Tensor, matching: Tensor
) -> dict[str, Tensor]:
    """Returns the terms that teach the dimensions on groups of G photographs in V versions each.

    Args:
        overall: Overall scores ``[G * V]``, the versions of a group side by side.
        dimensions: Dimension scores ``[G * V, D]``.
        targets: Their targets ``[G, V, D]``, least degraded first.
        known: 1 for dimensions with a target, ``[G, D]``.
        matching: 1 for the dimension that falls, ``[G, D]``.
    """
    shape = targets.shape[:2]
    scores = dimensions.unflatten(0, shape)
    overall = overall.unflatten(0, shape)

    weight = (known * (1.0 + 2.0 * matching))[:, None].expand_as(scores)
    curve = (weight * (scores - targets) ** 2).sum() / weight.sum()

    held = (known * (1.0 - matching))[:, None].expand_as(scores[:, 1:])
    moved = scores[:, 1:] - scores[:, :1].detach()
    selective = (held * moved**2).sum() / held.sum().clamp_min(1.0)

    own = (scores * matching[:, None]).sum(dim=2)  # [G, V]
    fall = ((targets * matching[:, None]).sum(dim=2)).diff(dim=1)  # negative
    order = F.relu(0.7 * -fall + own.diff(dim=1)).mean()
    overall_order = F.relu(OVERALL_MARGIN * -fall + overall.diff(dim=1)).mean()
    return {"curve": 4.0 * curve, "selective": 8.0 * selective, "order": 2.0 * order, "overall": 2.0 * overall_order}


def head_loss(heads: Tensor, targets: Tensor, known: Tensor, matching: Tensor) -> dict[str, Tensor]:
    """Returns what makes the attention heads learn their dimension beside the statistics block.

    Half of every fall is to be seen by the heads alone, and nothing else is to move them.

    Args:
        heads: What the heads say of each dimension, ``[G * V, D]``; further arguments as in :func:`degradation_loss`.
        targets: ``[G, V, D]``.
        known: ``[G, D]``.
        matching: ``[G, D]``.
    """
    moved = heads.unflatten(0, targets.shape[:2]).diff(dim=1)
    wanted = 0.5 * targets.diff(dim=1)
    weight = (known * (1.0 + 2.0 * matching))[:, None].expand_as(moved)
    return {"heads": 4.0 * (weight * (moved - wanted) ** 2).sum() / weight.sum()}


def quiet_loss(above: Tensor, below: Tensor, std: float) -> Tensor:
    """Returns an estimate of the mean squared norm of the gradient of scores by pixels.

    For white noise e of standard deviation s, ``E[(f(x + e) - f(x - e))^2] / (2 s)^2`` tends to ``|grad f|^2`` as s
    tends to 0. It needs no second derivative, and what noise itself does to a score cancels.

    Args:
        above: Scores of images with faint white noise added, ``[B, K]``.
        below: Scores of the same images with the same noise taken away.
        std: Its standard deviation.
    """
    return ((above - below) / (2.0 * std)).square().mean()
