"""Values that cannot be differentiated, with the gradient of ones that can."""

from __future__ import annotations

from torch import Tensor


def straight_through(value: Tensor, surrogate: Tensor) -> Tensor:
    """``value`` exactly, with the gradient of ``surrogate`` (the added difference is exactly zero).

    Example:
        >>> import torch
        >>> x = torch.tensor([0.4, 1.6], requires_grad=True)
        >>> rounded = straight_through(x.round(), x)
        >>> rounded.tolist(), torch.autograd.grad(rounded.sum(), x)[0].tolist()
        ([0.0, 2.0], [1.0, 1.0])
    """
    return value.detach() + (surrogate - surrogate.detach())
