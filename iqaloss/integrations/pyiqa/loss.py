"""A metric of pyiqa as a loss, which also looks at its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from iqaloss.integrations.pyiqa.scorer import IMAGE, PyiqaScorer
from iqaloss.losses.checks import describe, raise_or_warn
from iqaloss.losses.encoded import EncodedTarget
from iqaloss.losses.functional import nr_loss
from iqaloss.losses.guard import FiniteGuard, Watch
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.losses.options import check_loss_options, known_options
from iqaloss.losses.runner import autocast
from iqaloss.scorers.base import ScoreOutput


def wrap(
    metric: Any, *, score_range: tuple[float, float] | None = None, fold: bool = False, **options: Any
) -> PyiqaLoss:
    """Makes a loss of a pyiqa metric.

    A no-reference metric becomes ``(best - s) / (best - worst)`` of the prediction, a full-reference metric the same
    of the prediction and its target; it falls as quality rises, whichever way the metric counts. It is not clipped:
    an identical pair has a PSNR beyond the usual range, and a negative loss.

    The metric's network is frozen in place and called directly, so that the caller's ``no_grad`` and cuDNN settings
    hold, which the metric's own ``forward`` overrides. What a network draws at random, such as the crops of some
    metrics, it draws anew at each call.

    Args:
        metric: What ``pyiqa.create_metric(name)`` returns.
        score_range: Smallest and largest value of the metric; needed where pyiqa states none, and to scale the loss.
        fold: Whether the network's batch norms are folded into its convolutions: faster, with less memory, and for
            good: the metric scores as before, but its weights can be neither trained nor saved under their names.
        **options: The options of :class:`~iqaloss.losses.iqa_loss.IQALoss` but for the mode, which the metric has.
            ``precision`` is ``"fp32"`` here unless given: several metrics are NaN in bfloat16.

    Returns:
        The loss; ``loss_fn(pred)`` for a no-reference metric, ``loss_fn(pred, target)`` for a full-reference one.

    Raises:
        TypeError: If ``metric`` is no pyiqa metric.
        ValueError: If pyiqa states no usable range and none is given, or an option is unknown.

    Example:
        >>> import pyiqa  # doctest: +SKIP
        >>> loss_fn = wrap(pyiqa.create_metric("ssim"), loss_weight=0.1)  # doctest: +SKIP
        >>> value = loss_fn(pred, target)  # doctest: +SKIP
    """
    for attribute in ("net", "metric_mode", "metric_name", "lower_better"):
        if not hasattr(metric, attribute):
            hint = f'; create it first: pyiqa.create_metric("{metric}")' if isinstance(metric, str) else ""
            raise TypeError(f"wrap takes a metric made by pyiqa.create_metric, got {type(metric).__name__}{hint}")
    check_loss_options(PyiqaLoss, options)
    scorer = PyiqaScorer(metric, score_range)
    return PyiqaLoss(scorer.freeze().fold() if fold else scorer, **options)


class PyiqaLoss(IQALoss):
    """A pyiqa metric as a loss; made by :func:`wrap`.

    Args:
        scorer: The metric as a scorer.
        precision: As in :class:`~iqaloss.losses.iqa_loss.IQALoss`, but float32 by default.
        **options: The other options of :class:`~iqaloss.losses.iqa_loss.IQALoss`; with ``nonfinite="raise"`` (or
            ``"skip"``) a gradient that is NaN or infinite raises (or is replaced by zeros, with a warning) as a value
            does: several classical metrics have such gradients on flat or identical images.
    """

    def __init__(self, scorer: PyiqaScorer, *, precision: str | None = "fp32", **options: Any) -> None:
        if "mode" in options:
            raise ValueError(
                f"{scorer.card.name} is {'full' if scorer.compares else 'no'}-reference: mode is not an option"
            )
        super().__init__(
            scorer, "fr" if scorer.compares else "nr", precision=precision, **known_options(type(self), options)
        )
        self.guard = GradientGuard(self.guard.action, self.guard.input_range, scorer.card.name)

    @property
    def scorer(self) -> PyiqaScorer:
        """The frozen metric."""
        return cast(PyiqaScorer, super().scorer)

    def encode(self, target: Tensor) -> EncodedTarget:
        """Computes once what the metric's network makes of the target alone; no more for a metric that mixes at once.

        Args:
            target: ``[B, 3, H, W]`` in the input range.
        """
        encoded = super().encode(target)
        if self.scorer.compares:
            images = encoded.features[IMAGE]
            with torch.no_grad(), autocast(self.runner.precision, images.device):
                encoded.features.update(self.scorer.known_of(images))
        return encoded

    def fr_terms(self, output: ScoreOutput, target: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The metric of prediction and target."""
        worst, best = self.scorer.card.score_range
        known = {name: value for name, value in target.items() if name != IMAGE}
        with autocast(self.runner.precision, output.features[IMAGE].device):
            score = self.scorer.compare(output.features[IMAGE], target[IMAGE], known)
        return {"score": nr_loss(score, best, worst)}


class GradientGuard(FiniteGuard):
    """Finds a gradient that is not finite too: several classical metrics have one on flat or identical images.

    Args:
        action: ``"raise"``, ``"skip"`` or ``"ignore"``.
        input_range: The range of the images.
        metric: Whose gradient it is, for messages.
    """

    def __init__(self, action: str, input_range: tuple[float, float], metric: str) -> None:
        super().__init__(action, input_range)
        self.metric = metric

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy starts afresh."""
        return type(self), (self.action, self.input_range, self.metric)

    def admit(self, images: Tensor, name: str, watch: Watch) -> Tensor:
        """Looks for a wrong range now, and at the gradient on its way back."""
        images = super().admit(images, name, watch)
        if self.action == "ignore" or not (images.requires_grad and torch.is_grad_enabled()):
            return images
        guarded = images.view_as(images)  # so that the hook goes when this step's graph goes
        guarded.register_hook(lambda gradient: self._finite_gradient(gradient, images))
        return guarded

    def _finite_gradient(self, gradient: Tensor, images: Tensor) -> Tensor:
        finite = torch.isfinite(gradient)
        if bool(finite.all()):
            return gradient
        bad = f"{int((~finite).sum())} of {gradient.numel()} values of the gradient of {self.metric}"
        message = f"{bad} are not finite; the input has {describe(images)}"
        raise_or_warn(message, self.action, "this step's gradient is zero")
        return torch.zeros_like(gradient)
