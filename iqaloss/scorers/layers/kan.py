"""A Kolmogorov-Arnold layer: every edge has a curve of its own, a SiLU plus a cubic spline."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from iqaloss.scorers.layers.frozen_cache import FrozenCache
from iqaloss.scorers.layers.precision import full_precision

ORDER = 3
"""Degree of the splines; the closed form below is that of cubic ones."""


def spline_knots(intervals: int = 5, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Returns the evenly spaced knots: ``intervals`` of them inside ``[low, high]`` and three beyond each end.

    Args:
        intervals: Number of intervals G between ``low`` and ``high``.
        low: Lower end of the range on which the bases add up to one.
        high: Upper end.

    Returns:
        ``[G + 7]``.

    Example:
        >>> spline_knots(2)
        tensor([-4., -3., -2., -1.,  0.,  1.,  2.,  3.,  4.])
    """
    step = (high - low) / intervals
    return low + step * torch.arange(-ORDER, intervals + ORDER + 1, dtype=torch.float64).float()


def spline_bases(x: Tensor, intervals: int = 5, low: float = -1.0, high: float = 1.0) -> Tensor:
    r"""Cubic B-spline bases on evenly spaced knots, in float32 (float64 for float64), autocast or not.

    All bases are shifts of one bump, so no recursion over orders is needed. With the distance v of x from the
    middle of a basis, in units of the knot spacing,

    .. math:: B(v) = \left( \max(2 - v, 0)^3 - 4 \max(1 - v, 0)^3 \right) / 6.

    They add up to one on ``[low, high]``, fall off outside it, and are zero from three intervals beyond it.

    Args:
        x: Values of any shape ``[...]``.
        intervals: Number of knot intervals G in ``[low, high]``.
        low: Lower end.
        high: Upper end.

    Returns:
        ``[..., G + 3]``.

    Example:
        >>> spline_bases(torch.tensor([0.3])).sum()
        tensor(1.)
    """
    x = x if x.dtype == torch.float64 else x.float()
    step = (high - low) / intervals
    # Middles of the bases, in knot spacings from low: -1, 0, ..., G + 1.
    middles = torch.arange(-1, intervals + ORDER - 1, device=x.device, dtype=x.dtype)
    distance = ((x - low) / step).unsqueeze(-1).sub(middles).abs()
    outer, inner = (2 - distance).relu(), (1 - distance).relu()
    return (outer * outer * outer - 4 * inner * inner * inner) / 6


class KANLinear(nn.Module):
    r"""A layer of curves, ``y_o = sum_i (W_oi silu(x_i) + sum_b C_oib B_b(x_i))``, without bias.

    The layer of "KAN: Kolmogorov-Arnold Networks" (arXiv 2404.19756) on a fixed grid, as two matrix products: one
    of the activated inputs, one of all bases. It computes in float32, also under autocast: the bases of
    neighbouring knots nearly cancel in half precision.

    Args:
        inputs: Number of inputs.
        outputs: Number of outputs.
        intervals: Number of knot intervals G in ``[-1, 1]``.
        scaler: Whether each spline has a trained factor s of its own, as in LAR-IQA's release. It adds no function,
            only another way to train, and takes time then: the product with C is formed at each call.
        noise: Size of the random curves at the start.

    Shapes:
        x: ``[..., inputs]``. Output: ``[..., outputs]``.

    Example:
        >>> KANLinear(11, 5)(torch.rand(2, 11)).shape
        torch.Size([2, 5])
    """

    def __init__(
        self, inputs: int, outputs: int, *, intervals: int = 5, scaler: bool = False, noise: float = 0.1
    ) -> None:
        super().__init__()
        self.inputs, self.outputs, self.intervals = inputs, outputs, intervals
        self.base_weight = nn.Parameter(torch.empty(outputs, inputs))
        self.spline_weight = nn.Parameter(torch.empty(outputs, inputs, intervals + ORDER))
        self.spline_scaler = nn.Parameter(torch.empty(outputs, inputs)) if scaler else None
        self.cache = FrozenCache(1)
        self.reset_parameters(noise)

    def reset_parameters(self, noise: float = 0.1) -> None:
        """Starts from Kaiming-uniform factors and from splines through small noise at the inner knots."""
        nn.init.kaiming_uniform_(self.base_weight, a=math.sqrt(5))
        if self.spline_scaler is not None:
            nn.init.kaiming_uniform_(self.spline_scaler, a=math.sqrt(5))
        bases = spline_bases(torch.linspace(-1, 1, self.intervals + 1), self.intervals)
        values = (torch.rand(self.intervals + 1, self.outputs * self.inputs) - 0.5) * noise / self.intervals
        coefficients = torch.linalg.pinv(bases) @ values
        with torch.no_grad():
            self.spline_weight.copy_(coefficients.t().view_as(self.spline_weight))

    def extra_repr(self) -> str:
        """Describes the layer in ``repr``."""
        return f"{self.inputs}, {self.outputs}, intervals={self.intervals}, scaler={self.spline_scaler is not None}"

    def coefficients(self) -> Tensor:
        """Returns the coefficients of the splines, ``[outputs, inputs, G + 3]``, with their factors multiplied in."""
        weight, scaler = self.spline_weight, self.spline_scaler
        if scaler is None:
            return weight
        return self.cache(None, [weight, scaler], lambda: weight * scaler[..., None])

    def forward(self, x: Tensor) -> Tensor:
        """Returns ``[..., outputs]`` in the dtype of the weights."""
        with full_precision(x.device):
            dtype = self.base_weight.dtype
            wide = x if x.dtype == torch.float64 else x.float()
            bases = spline_bases(wide, self.intervals).flatten(-2).to(dtype)
            base = F.linear(F.silu(wide).to(dtype), self.base_weight)
            return base + F.linear(bases, self.coefficients().flatten(1))
