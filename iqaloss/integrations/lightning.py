"""Losses in Lightning: a loss is an attribute as any module; a callback tells it the step and logs scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from iqaloss._errors import missing_package
from iqaloss.losses.iqa_loss import IQALoss
from iqaloss.scorers.base import Request, Scorer
from iqaloss.scorers.factory import create_scorer

if TYPE_CHECKING:
    _Callback: Any = object
else:
    try:
        from lightning.pytorch import Callback as _Callback
    except ImportError:
        _Callback = None

_Base: Any = object if _Callback is None else _Callback


class IQACallback(_Base):
    """Tells every loss of the module the step, for weights that follow a schedule, and logs scores of what it restores.

    Args:
        scorer: Who scores what ``validation_step`` returns; None scores nothing.
        key: Where in what it returns the restored images are, RGB in [0, 1]; the whole of it where it is a tensor.

    Raises:
        ImportError: If Lightning is not installed.

    Example:
        >>> trainer = lightning.Trainer(callbacks=[IQACallback()])  # doctest: +SKIP
    """

    def __init__(self, scorer: str | Scorer | None = "mdiqa-mobile", key: str = "restored") -> None:
        if _Callback is None:
            raise missing_package("lightning", "lightning", "the Lightning callback")
        super().__init__()
        self.scorer = create_scorer(scorer).fold() if isinstance(scorer, str) else scorer
        self.key = key

    def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, batch_idx: int) -> None:
        """Tells the losses the step."""
        for loss in module.modules():
            if isinstance(loss, IQALoss):
                loss.set_step(trainer.global_step)

    @torch.no_grad()
    def on_validation_batch_end(self, trainer: Any, module: Any, outputs: Any, *rest: Any) -> None:
        """Logs the mean of the score and of each dimension."""
        images = outputs.get(self.key) if isinstance(outputs, dict) else outputs
        if self.scorer is None or not isinstance(images, torch.Tensor):
            return
        scorer = self.scorer.to(images.device)
        found = scorer(images.float().clamp(0.0, 1.0), Request(score=True, dimensions=None))
        values = {"iqa/score": found.score, **{f"iqa/{name}": value for name, value in found.dimensions.items()}}
        module.log_dict({name: value.float().mean() for name, value in values.items()}, batch_size=len(images))
