"""Published schedules of loss weights and learning rates, as pure functions of the epoch or step."""

from __future__ import annotations

import math

from iqaloss._errors import check_choice

PMT_FIXED = (0.9419036108703593, 0.9602831644731372)
"""The weights of regression and classification that PMT-IQA's code uses when they do not move."""


def progressive_weights(epoch: int, epochs: int, *, xi: float = 1.0, form: str = "paper") -> tuple[float, float]:
    r"""PMT-IQA's weights of regression and of classification in an epoch.

    Args:
        epoch: The epoch, from 0.
        epochs: Number of epochs T.
        xi: Strength, of the paper's form only.
        form: ``"paper"``: :math:`\lambda_1 = \xi t / (T + 1)` (Eq. 10); ``"released"``:
            :math:`\lambda_1 = t / (T - 1)`, the code's. :math:`\lambda_2 = 1 - \lambda_1` in both.

    Example:
        >>> progressive_weights(29, 30, form="released")
        (1.0, 0.0)
    """
    check_choice("form", form, ("paper", "released"))
    if not 0 <= epoch < epochs:
        raise ValueError(f"epoch must lie in 0..{epochs - 1}, got {epoch}")
    if form == "released":
        # With a single epoch the published quotient is 0/0; the last epoch is all regression.
        first = epoch / (epochs - 1) if epochs > 1 else 1.0
    else:
        first = xi * epoch / (epochs + 1)
    return first, 1.0 - first


def pmt_learning_rate(epoch: int, base: float) -> float:
    """PMT-IQA's learning rate in an epoch: a tenth every six epochs, the first step after seven.

    Example:
        >>> [round(pmt_learning_rate(t, 1.0), 3) for t in (0, 6, 7, 13)]
        [1.0, 1.0, 0.1, 0.01]
    """
    return float(base / 10.0 ** (max(epoch - 1, 0) // 6))


def warmup_cosine(step: int, *, warmup: int, horizon: int) -> float:
    """Factor of the learning rate at a step: linear from 0 to 1 in ``warmup`` steps, then a cosine to 0 at ``horizon``.

    LAR-IQA's release warms up for 5 epochs and sets the horizon to 20, of which it runs 10.

    Example:
        >>> [warmup_cosine(step, warmup=2, horizon=4) for step in (0, 1, 2, 4)]
        [0.0, 0.5, 1.0, 0.0]
    """
    if not 0 <= warmup < horizon:
        raise ValueError(f"need 0 <= warmup < horizon, got warmup={warmup}, horizon={horizon}")
    if step < warmup:
        return step / warmup
    return 0.5 * (1.0 + math.cos(math.pi * min(1.0, (step - warmup) / (horizon - warmup))))
