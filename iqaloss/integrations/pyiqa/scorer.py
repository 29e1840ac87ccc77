"""A metric of pyiqa as a scorer: its sign, its range and what it computes of the target alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from iqaloss._errors import shown
from iqaloss.integrations.pyiqa.networks import drop_graphs, hidden_modules
from iqaloss.integrations.pyiqa.target_pass import TargetCall, find_target_calls, record, replayed
from iqaloss.scorers.base import Request, ScoreOutput, Scorer
from iqaloss.scorers.cards import ScorerCard

IMAGE = "image"
"""The name of a full-reference metric's one feature."""

_NUMBER = r"\s*~?\s*([-+]?\d+(?:\.\d+)?)\s*"


class PyiqaScorer(Scorer):
    """A pyiqa metric as a scorer; its score is the metric, negated where lower is better.

    A full-reference metric has no score of one image. Its one feature is the image itself, which :meth:`compare`
    takes, for pyiqa's networks do not tell the features that they compare. What the network computes of a target alone
    is found by watching it (see :meth:`known_of`).

    Args:
        metric: What ``pyiqa.create_metric(name)`` returns.
        score_range: Smallest and largest value of the metric; pyiqa's own where None.
    """

    config_class = type(None)

    def __init__(self, metric: Any, score_range: tuple[float, float] | None = None) -> None:
        name = str(metric.metric_name)
        low, high = stated_range(name, metric.score_range) if score_range is None else score_range
        if not low < high:
            raise ValueError(f"score_range must be (smallest, largest), got {shown(score_range)}")
        sign = -1.0 if metric.lower_better else 1.0
        card = ScorerCard(
            name=f"pyiqa:{name}",
            title=f"{name} of pyiqa",
            paper="see pyiqa",
            code_license="that of pyiqa and of the metric",
            score_range=(-high, 0.0 - low) if metric.lower_better else (low, high),
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            min_side=1,
            input_rule="the metric's own",
            fr_reason="the metric itself compares prediction and target",
        )
        super().__init__(card, None)
        self.sign = sign
        self.compares = metric.metric_mode == "FR"
        self.net: nn.Module = metric.net
        self._target_calls: tuple[TargetCall, ...] | None = None
        self.to(next((tensor.device for tensor in (*self.net.parameters(), *self.net.buffers())), metric.device))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The image itself, for a full-reference metric."""
        return (IMAGE,) if self.compares else ()

    def compute(self, images: Tensor, request: Request, **_: Any) -> ScoreOutput:
        """Runs a no-reference metric, or hands a full-reference metric's image through."""
        output = ScoreOutput()
        if IMAGE in (request.features or ()):
            output.features[IMAGE] = images if torch.is_grad_enabled() else images.detach()
        if request.score:
            if self.compares:
                raise ValueError(f"{self.card.name} compares with a target and has no score of one image; see compare")
            output.overall = self._run(images)
        return output

    def compare(self, images: Tensor, target: Tensor, known: Mapping[str, Tensor] | None = None) -> Tensor:
        """Returns the full-reference score ``[B]``, higher is better; no gradient flows into the target.

        Args:
            images: The prediction.
            target: The target.
            known: What :meth:`known_of` gave for the target, if it was called.
        """
        if not known:
            return self._run(images, target.detach())
        with replayed(self.net, self._target_calls or (), known):
            return self._run(images, target.detach())

    def known_of(self, target: Tensor) -> dict[str, Tensor]:
        """Returns what the network computes of a target alone, by name; nothing where it mixes the two at once."""
        if self._target_calls is None:
            some = target[:2] if len(target) > 1 else torch.cat([target, target.flip(-1)])
            self._target_calls = find_target_calls(self.net, some)
        known = record(self.net, self._target_calls, target) if self._target_calls else {}
        drop_graphs(self.net)
        return known

    def run_example(self) -> Any:
        """Runs the network once, on a small grey image."""
        images = self.mean.new_full((1, 3, 224, 224), 0.5)
        return self.net(images, images) if self.compares else self.net(images)

    def _run(self, images: Tensor, *target: Tensor) -> Tensor:
        value = self.net(images, *target)
        drop_graphs(self.net)
        value = value[0] if isinstance(value, (tuple, list)) else value
        if not isinstance(value, Tensor) or value.numel() != len(images):
            shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ValueError(f"{self.card.name} must give one score for each of {len(images)} images, got {shape}")
        if torch.is_grad_enabled() and images.requires_grad and not value.requires_grad:
            raise ValueError(f"{self.card.name} passes no gradient to the image: it cannot be a loss")
        return self.sign * value.reshape(-1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PyiqaScorer:
        super()._apply(fn, recurse)
        for module in hidden_modules(self.net):
            module._apply(fn)
        return self

    def freeze(self) -> PyiqaScorer:
        """Makes the metric a fixed function, with the networks that it hides in lists."""
        for module in hidden_modules(self.net):
            module.requires_grad_(False).eval()
        return super().freeze()


def stated_range(name: str, stated: object) -> tuple[float, float]:
    """Reads pyiqa's range, such as ``"~0, ~100"``.

    Raises:
        ValueError: If an end is open.

    Example:
        >>> stated_range("musiq", "~0, ~100")
        (0.0, 100.0)
    """
    found = re.fullmatch(f"{_NUMBER},{_NUMBER}", str(stated))
    if found is None:
        raise ValueError(
            f"pyiqa states no usable range of {name} ({stated!r}): say what the loss is scaled by, "
            "as in wrap(metric, score_range=(0, 100))"
        )
    return float(found[1]), float(found[2])
