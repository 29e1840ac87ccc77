"""Pairs of images: which of the two is better, and how sure people are."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from iqaloss._errors import check_choice
from iqaloss.training.objectives.scores import check_pair

LINKS = ("paper", "released")


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
    """Probability that image i is better than image j, from ``votes`` ``[B, K]`` of K people: wins / (wins + losses).

    People who see no difference do not count; a pair that nobody can tell apart gives 0.5.

    Example:
        >>> vote_preferences(torch.tensor([[1.0, 2.0], [0.0, 3.0]]))[0].tolist()
        [0.5, 0.5]
    """
    if votes.ndim != 2:
        raise ValueError(f"votes must have shape [images, people], got {list(votes.shape)}")
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
        pred, target = check_pair(pred, target)
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
    pred, target = check_pair(pred, target)
    first, second = torch.triu_indices(pred.numel(), pred.numel(), offset=1, device=pred.device)
    sign = torch.sign(target[first] - target[second])
    untied = sign != 0
    if not bool(untied.any()):
        return pred.sum() * 0.0
    return (margin - sign * (pred[first] - pred[second]))[untied].clamp_min(0.0).mean()
