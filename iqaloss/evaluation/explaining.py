"""Where a score looks: how strongly each pixel moves it, for the overall score and for each dimension."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from iqaloss.evaluation.probes.distortions import gaussian_blur
from iqaloss.scorers.base import Request, Scorer

OVERALL = "score"
SPREAD = 2.0
"""Standard deviation in pixels of the Gaussian that maps are smoothed with."""

BRIGHTEST = 0.995
"""Share of the pixels that are below the map's 1."""


@dataclass(frozen=True)
class Explanation:
    """What a scorer says of an image, and where from.

    Attributes:
        scores: Overall score and dimensions.
        maps: The same names to ``[H, W]`` in [0, 1]: how strongly a pixel moves the score.
        gradients: The same names to the gradient by the image ``[3, H, W]``, as it is.
    """

    scores: dict[str, float]
    maps: dict[str, Tensor]
    gradients: dict[str, Tensor]


def explain(scorer: Scorer, image: Tensor) -> Explanation:
    """Explains the scores of an image.

    Args:
        scorer: The scorer, frozen, on any device.
        image: Float RGB ``[3, H, W]`` in [0, 1].

    Example:
        >>> from iqaloss.scorers.factory import create_tiny
        >>> found = explain(create_tiny("mdiqa-mobile"), torch.rand(3, 64, 64))
        >>> list(found.maps)[:2], found.maps["sharpness"].shape
        (['score', 'brightness'], torch.Size([64, 64]))
    """
    pixels = image[None].to(scorer.mean.device).requires_grad_()
    output = scorer(pixels, Request(score=True, dimensions=None))
    values = {OVERALL: output.score, **output.dimensions}
    gradients = {}
    for number, (name, value) in enumerate(values.items(), start=1):
        (gradient,) = torch.autograd.grad(value.sum(), pixels, retain_graph=number < len(values))
        gradients[name] = gradient[0].float().cpu()
    scores = {name: float(value.detach()) for name, value in values.items()}
    return Explanation(scores, {name: heat(gradient) for name, gradient in gradients.items()}, gradients)


def heat(gradient: Tensor) -> Tensor:
    """Returns how strongly each pixel counts, smoothed, ``[H, W]`` in [0, 1]; zeros for a gradient of zeros.

    Example:
        >>> heat(torch.zeros(3, 32, 32)).max().item()
        0.0
    """
    strength = gradient.abs().sum(0, keepdim=True).expand(3, -1, -1)
    smooth = gaussian_blur(strength, SPREAD)[0]
    rank = max(1, round(BRIGHTEST * smooth.numel()))
    most = smooth.flatten().kthvalue(rank).values
    return (smooth / most.clamp_min(torch.finfo(smooth.dtype).tiny)).clamp(0.0, 1.0)
