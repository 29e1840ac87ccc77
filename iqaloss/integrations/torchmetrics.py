"""Scores as a metric of torchmetrics: collected over batches and processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from iqaloss._errors import check_choice, missing_package
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.factory import create_scorer

if TYPE_CHECKING:
    _Metric: Any = nn.Module
else:
    try:
        from torchmetrics import Metric as _Metric
    except ImportError:
        _Metric = None

_Base: Any = nn.Module if _Metric is None else _Metric
SCORE = "score"


class IQAMetric(_Base):
    """The mean score of images, or of one of their dimensions; higher is better.

    Args:
        scorer: A registered name, or the scorer.
        dimension: Which dimension; None for the overall score.
        normalize: Whether images come in [0, 1], as in torchmetrics' LPIPS; otherwise they come in [-1, 1].
        **options: Options of :class:`torchmetrics.Metric`.

    Raises:
        ImportError: If torchmetrics is not installed.
        ValueError: For an unknown dimension, with the nearest one.

    Example:
        >>> metric = IQAMetric()  # doctest: +SKIP
        >>> metric.update(torch.rand(2, 3, 64, 64))  # doctest: +SKIP
        >>> metric.compute().shape  # doctest: +SKIP
        torch.Size([])
    """

    is_differentiable = True
    higher_is_better = True
    full_state_update = False
    plot_lower_bound = 0.0
    plot_upper_bound = 1.0
    feature_network = "scorer"

    def __init__(
        self,
        scorer: str | Scorer = "mdiqa-mobile",
        dimension: str | None = None,
        *,
        normalize: bool = True,
        **options: Any,
    ) -> None:
        if _Metric is None:
            raise missing_package("torchmetrics", "torchmetrics", "the metric")
        super().__init__(**options)
        built = create_scorer(scorer).fold() if isinstance(scorer, str) else scorer
        self.scorer = built.freeze()
        self.dimension = None if dimension is None else check_choice("dimension", dimension, built.dimension_names)
        self.normalize = normalize
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    total: Tensor
    count: Tensor

    def update(self, preds: Tensor, target: Tensor | None = None) -> None:
        """Adds images ``[B, 3, H, W]``; a target may be given, as to other metrics, and is not looked at."""
        images = preds if self.normalize else (preds + 1.0) / 2.0
        request = Request(score=True) if self.dimension is None else Request(dimensions=(self.dimension,))
        output = self.scorer(images.to(self.scorer.mean.dtype).clamp(0.0, 1.0), request)
        values = output.score if self.dimension is None else output.dimensions[self.dimension]
        self.total = self.total + values.sum()
        self.count = self.count + len(values)

    def compute(self) -> Tensor:
        """Returns the mean over all images; NaN where there was none."""
        return (self.total / self.count).float()
