"""What of a loss's gradient reaches the images: no more than a length, and less of its finest pattern."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from iqaloss._errors import shown
from iqaloss.losses.checks import check_finite
from iqaloss.scorers.layers.blur import gaussian_blur

SIGMA = 1.0
"""The Gaussian, in pixels, that tells the low-pass part of a gradient from its high-pass part."""


@dataclass(frozen=True)
class GradientLimits:
    """Changes the gradient of a loss where it leaves for the images; the loss's value stays.

    The finest patterns are where a network's strides leave their marks, and where a gradient can be followed furthest
    without a person seeing a better picture (a small input gradient makes a scorer robust: arXiv 2403.11397).

    Attributes:
        longest: The most that an image's gradient may measure (its L2 norm, ``loss_weight`` and ``reduction`` aside),
            in units of the gradient of the mean absolute error of images in [0, 1], ``1 / sqrt(3 H W)``; longer ones
            are shortened. So 1 lets no image be pulled harder than by an L1 loss of the same weight, whatever its size.
        smoothing: The share, 0 to 1, of the gradient's high-pass part (what a Gaussian of one pixel takes away) that
            is taken away, before it is measured.
        span: The length of the input range.

    Example:
        >>> images = torch.zeros(1, 3, 2, 2, requires_grad=True)
        >>> seen, values = GradientLimits(longest=1.0).watch(images)
        >>> (seen.sum() + values).sum().backward()
        >>> round(images.grad.norm().item() * 12**0.5, 5)
        1.0
    """

    longest: float | None = None
    smoothing: float = 0.0
    span: float = 1.0

    def __post_init__(self) -> None:
        """Checks the options."""
        if self.longest is not None and check_finite("max_gradient_norm", self.longest) <= 0:
            raise ValueError(f"max_gradient_norm must be None or more than 0, got {shown(self.longest)}")
        if not 0 <= check_finite("gradient_smoothing", self.smoothing) <= 1:
            raise ValueError(f"gradient_smoothing must lie in [0, 1], got {shown(self.smoothing)}")

    @property
    def active(self) -> bool:
        """Whether any gradient is changed."""
        return self.longest is not None or self.smoothing > 0

    @property
    def one_way(self) -> list[str]:
        """The options that are on and have a backward pass of their own."""
        return ["max_gradient_norm"] * (self.longest is not None) + ["gradient_smoothing"] * (self.smoothing > 0)

    def watch(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Returns images whose gradient is limited on its way back, and zeros ``[B]`` to be added to their losses.

        The zeros tell how much of each image's loss is asked for (its weight, the mean over the batch, a scaler's
        factor), so that the limit is that of the loss itself.
        """
        seen, zeros = _Limited.apply(images, self)
        return seen, zeros

    def limited(self, gradient: Tensor, asked: Tensor) -> Tensor:
        """Returns what is left of a gradient ``[B, C, H, W]``, given how much of each loss ``[B]`` was asked for."""
        if self.smoothing:
            gradient = torch.lerp(gradient, gaussian_blur(gradient, SIGMA, "the gradient"), self.smoothing)
        if self.longest is None:
            return gradient
        longest = self.longest * asked.abs().float() / (gradient[0].numel() ** 0.5 * self.span)
        length = torch.linalg.vector_norm(gradient.float(), dim=(1, 2, 3))
        factor = (longest / length.clamp_min(torch.finfo(torch.float32).tiny)).clamp(max=1)
        return gradient * factor[:, None, None, None].to(gradient.dtype)


class _Limited(torch.autograd.Function):
    """The images as they are, with a limited gradient."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, limits: GradientLimits) -> tuple[Tensor, Tensor]:
        ctx.limits = limits
        return images.view_as(images), torch.zeros(images.shape[0], device=images.device)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, asked: Tensor) -> tuple[Tensor, None]:
        return ctx.limits.limited(gradient, asked), None
