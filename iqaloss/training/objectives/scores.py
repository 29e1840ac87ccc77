"""Predictions against human scores: errors, and agreement over a whole batch."""

from __future__ import annotations

import torch
from torch import Tensor


def check_pair(pred: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Returns predictions and targets as float32 vectors; raises ``ValueError`` for unequal or empty ones."""
    if pred.numel() != target.numel() or pred.numel() == 0:
        raise ValueError(f"need as many targets as predictions, got {list(pred.shape)} and {list(target.shape)}")
    return pred.reshape(-1).float(), target.detach().reshape(-1).to(pred.device, torch.float32)


def l1(pred: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error.

    Example:
        >>> l1(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 2.0])).item()
        0.5
    """
    pred, target = check_pair(pred, target)
    return (pred - target).abs().mean()


def mse(pred: Tensor, target: Tensor) -> Tensor:
    """Mean squared error.

    Example:
        >>> mse(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.0])).item()
        2.0
    """
    pred, target = check_pair(pred, target)
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
    pred, target = check_pair(pred, target)
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
    pred, target = check_pair(pred, target)
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
    pred, target = check_pair(pred, target)
    count = pred.numel()
    return 1.0 - (_direction(pred, 2, eps) * _direction(target, 2, eps)).sum() * (count - 1) / count
