"""Training objectives as pure functions of predictions and human scores.

Every function takes predictions and targets of B images (any shape with B elements), returns a scalar, and is
finite with finite gradients for a batch of one, tied targets and constant predictions.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from iqaloss._errors import check_choice

LINKS = ("paper", "released")


def _pair(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    if pred.numel() != target.numel() or pred.numel() == 0:
        raise ValueError(f"need as many targets as predictions, got {list(pred.shape)} and {list(target.shape)}")
    return pred.reshape(-1).float(), target.detach().reshape(-1).to(pred.device, torch.float32)


def l1(pred: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error.

    Example:
        >>> l1(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 2.0])).item()
        0.5
    """
    pred, target = _pair(pred, target)
    return (pred - target).abs().mean()


def mse(pred: Tensor, target: Tensor) -> Tensor:
    """Mean squared error.

    Example:
        >>> mse(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])).item()
        2.0
    """
    pred, target = _pair(pred, target)
    return (pred - target).square().mean()


def _direction(values: Tensor, order: float, eps: float) -> Tensor:
    centered = values - values.mean()
    if order == 2:
        return centered / (centered.square().sum() + eps * eps).sqrt()
    # The shift under the root keeps the gradient of the norm finite where an element is zero.
    magnitude = (centered.square() + eps * eps).sqrt()
    return centered / magnitude.pow(order).sum().pow(1.0 / order)


def norm_in_norm(pred: Tensor, target: Tensor, *, p: float = 1.0, q: float = 2.0, eps: float = 1e-5) -> Tensor:
    r"""Norm-in-norm loss: the distance between centred and normalised predictions and targets.

    .. math:: \frac{1}{c} \lVert \frac{\hat y - \bar{\hat y}}{\lVert \hat y - \bar{\hat y} \rVert_q}
        - \frac{y - \bar y}{\lVert y - \bar y \rVert_q} \rVert_p^p, \quad c = 2^p B^{\max(0, 1 - p / q)}

    A batch of one has no direction: it gives the mean absolute error. ``eps`` bounds the gradient for (nearly)
    constant predictions. Li, Jiang, Jiang, "Norm-in-norm loss with faster convergence and better performance
    for image quality assessment", ACM MM 2020.

    Example:
        >>> norm_in_norm(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 20.0, 30.0])).item() < 1e-6
        True
    """
    pred, target = _pair(pred, target)
    if pred.numel() == 1:
        return (pred - target).abs().mean()
    scale = 2.0**p * pred.numel() ** max(0.0, 1.0 - p / q)
    distance = (_direction(pred, q, eps) - _direction(target, q, eps)).abs()
    return (distance if p == 1 else distance.pow(p)).sum() / scale


def plcc(pred: Tensor, target: Tensor, *, eps: float = 1e-5) -> Tensor:
    r"""Linear correlation as a loss: :math:`(1 - \rho) / 2`, in ``[0, 1]``.

    A batch of one has no correlation: it gives the mean absolute error. ``eps`` bounds the gradient for (nearly)
    constant predictions, whose correlation counts as 0.

    Example:
        >>> round(plcc(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([3.0, 2.0, 1.0])).item(), 4)
        1.0
    """
    pred, target = _pair(pred, target)
    if pred.numel() == 1:
        return (pred - target).abs().mean()
    return (1.0 - (_direction(pred, 2, eps) * _direction(target, 2, eps)).sum()) / 2.0


def plcc_unbiased(pred: Tensor, target: Tensor, *, eps: float = 1e-5) -> Tensor:
    r"""Linear correlation as LAR-IQA's released training has it: :math:`1 - \rho (B - 1) / B`.

    The products are averaged over B but divided by the unbiased deviations, so a perfect prediction gives
    :math:`1 / B`. A batch of one or constant values, not a number there, count as no correlation: 1.

    Example:
        >>> round(plcc_unbiased(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 9.0])).item(), 4)
        0.5
    """
    pred, target = _pair(pred, target)
    count = pred.numel()
    return 1.0 - (_direction(pred, 2, eps) * _direction(target, 2, eps)).sum() * (count - 1) / count


def preferences(target: Tensor, std: Tensor | None = None) -> Tensor:
    r"""Probability that image i is better than image j, from human scores: ``[B, B]``.

    Without ``std`` it is 1, 0.5 (tie) or 0; with it, Thurstone's
    :math:`\Phi((y_i - y_j) / \sqrt{\sigma_i^2 + \sigma_j^2})`.

    Example:
        >>> preferences(torch.tensor([2.0, 1.0, 1.0]))[0].tolist()
        [0.5, 1.0, 1.0]
    """
    target = target.detach().reshape(-1).float()
    difference = target[:, None] - target[None, :]
    if std is None:
        return (torch.sign(difference) + 1.0) / 2.0
    variance = std.detach().reshape(-1).float().square()
    # Where nobody disagreed the variance is 0: the preference is then the sign's.
    spread = (variance[:, None] + variance[None, :]).clamp_min(1e-12).sqrt()
    return torch.special.ndtr(difference / spread)


def vote_preferences(votes: Tensor) -> Tensor:
    """Probability that image i is better than image j, from ``votes`` ``[B, K]`` of K judges: wins / (wins + losses).

    Judges who see no difference do not count; a pair that nobody can tell apart gives 0.5.

    Example:
        >>> vote_preferences(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))[0].tolist()
        [0.5, 0.5]
    """
    if votes.ndim != 2:
        raise ValueError(f"votes must have shape [images, judges], got {list(votes.shape)}")
    signs = torch.sign(votes[:, None, :] - votes[None, :, :])
    wins, losses = (signs > 0).sum(-1), (signs < 0).sum(-1)
    total = wins + losses
    return torch.where(total > 0, wins / total.clamp_min(1), 0.5)


def fidelity(
    pred: Tensor,
    target: Tensor | None = None,
    *,
    link: str = "released",
    prefer: Tensor | None = None,
    eps: float = 1e-8,
) -> Tensor:
    r"""Fidelity loss over all pairs of the batch.

    .. math:: \ell = 1 - \sqrt{g p + \epsilon} - \sqrt{(1 - g)(1 - p) + \epsilon}

    Args:
        pred: Predicted qualities of B images, or batch means of B methods.
        target: Human scores that the preferences g come from (see :func:`preferences`).
        link: ``"released"`` takes :math:`p = \Phi(s_i - s_j)`, as the code of MDIQA and SR-IQA;
            ``"paper"`` takes :math:`p = \Phi((s_i - s_j) / \sqrt 2)`, as Eq. 4 of SR-IQA.
        prefer: Preferences ``[B, B]`` in place of a target.
        eps: The shift under the roots.

    Returns:
        The mean over the pairs i < j; 0, with zero gradient, when there is no pair.

    Example:
        >>> round(fidelity(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0, 30.0, 20.0])).item(), 6)
        0.231859
    """
    check_choice("link", link, LINKS)
    if (target is None) == (prefer is None):
        raise ValueError("fidelity needs either target or prefer")
    if target is not None:
        pred, target = _pair(pred, target)
        prefer = preferences(target)
    pred = pred.reshape(-1).float()
    count = pred.numel()
    if prefer is None or prefer.shape != (count, count):
        raise ValueError(
            f"prefer must have shape {[count, count]}, got {list(prefer.shape) if prefer is not None else None}"
        )
    if count == 1:
        return pred.sum() * 0.0
    first, second = torch.triu_indices(count, count, offset=1, device=pred.device)
    difference = pred[first] - pred[second]
    p = torch.special.ndtr(difference / math.sqrt(2.0) if link == "paper" else difference)
    q = torch.special.ndtr(-difference / math.sqrt(2.0) if link == "paper" else -difference)
    g = prefer.detach().to(pred)[first, second]
    return (1.0 - (g * p + eps).sqrt() - ((1.0 - g) * q + eps).sqrt()).mean()


def ranking(pred: Tensor, target: Tensor, *, margin: float = 0.0) -> Tensor:
    r"""Pairwise ranking loss: :math:`\max(0, m - \mathrm{sign}(y_i - y_j)(s_i - s_j))`, mean over untied pairs.

    Example:
        >>> ranking(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0])).item()
        1.0
    """
    pred, target = _pair(pred, target)
    first, second = torch.triu_indices(pred.numel(), pred.numel(), offset=1, device=pred.device)
    sign = torch.sign(target[first] - target[second])
    untied = sign != 0
    if not bool(untied.any()):
        return pred.sum() * 0.0
    return (margin - sign * (pred[first] - pred[second]))[untied].clamp_min(0.0).mean()


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


def earth_movers_distance(pred: Tensor, target: Tensor, *, r: float = 2.0, eps: float = 1e-12) -> Tensor:
    r"""Earth mover's distance between rating distributions: :math:`(\frac{1}{K} \sum_k |C_k - \hat C_k|^r)^{1/r}`.

    Args:
        pred: Predicted probabilities of K ratings, ``[B, K]``, each row with sum 1.
        target: The human ones.
        r: The power, 2 for training.
        eps: Shift under the root that keeps the gradient finite where both agree.

    Talebi and Milanfar, "NIMA: neural image assessment", IEEE TIP 2018, Eq. 1.

    Example:
        >>> round(earth_movers_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])).item(), 4)
        0.7071
    """
    if pred.ndim != 2 or pred.shape != target.shape:
        raise ValueError(f"need two distributions [B, K], got {list(pred.shape)} and {list(target.shape)}")
    gap = (pred.float().cumsum(-1) - target.detach().float().cumsum(-1)).abs()
    return ((gap.pow(r).mean(-1) + eps).pow(1.0 / r) - eps ** (1.0 / r)).mean()
