"""(a) The pixels themselves climb the score."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from iqaloss.evaluation.probes.gaming.subject import Subject
from iqaloss.evaluation.probes.pictures import Report, silent

STEP = 0.5 / 255
"""How far a step moves an image: root mean square over its pixels."""


def ascend(
    subject: Subject, start: Tensor, target: Tensor, steps: int, report: Report = silent, step: float = STEP
) -> Tensor:
    """Moves images down the gradient of their loss, each step equally far, and stays in [0, 1].

    The length of a step does not depend on the gradient's, so that a loss that is merely smaller gains nothing by it.

    Args:
        subject: The loss.
        start: Where the images begin, ``[B, 3, H, W]``.
        target: Their originals.
        steps: How many steps.
        report: Is told how far it is.
        step: Root mean square of a step.

    Example:
        >>> import torch
        >>> brighter = Subject("bright", 1.0, lambda pred, target: -pred.mean(dim=(1, 2, 3)))
        >>> start = torch.full((1, 3, 8, 8), 0.5)
        >>> round(ascend(brighter, start, start, steps=4, step=0.01).mean().item(), 3)
        0.54
    """
    images = start.to(subject.device)
    tell = partial(report, f"ascent of {len(start)} pictures")
    for number in range(steps):
        gradient = subject.gradient(images, target)
        length = gradient.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        # Where nothing can be gained the gradient is zero, and the image stays.
        images = (images - step * gradient / length.clamp_min(1e-12)).clamp(0.0, 1.0).detach()
        tell(number + 1, steps)
    return images.cpu()
